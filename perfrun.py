import sys,os,subprocess,psycopg,threading
sys.path.insert(0,'/tmp/perfwork')
s=open('/tmp/perfwork/h100/stg2.sql').read()
i=s.index('renamed as (\n\n    with')+len('renamed as ('); j=s.index('\n),\n\nevents as (')
q=s[i:j].replace('from first_messages','from pbm_bronze.raw_orders')
with psycopg.connect(os.environ['DSN'],autocommit=True) as c:
    c.execute('set max_parallel_workers_per_gather=0')
    pid=c.info.backend_pid
    p=subprocess.Popen(['perf','record','-e','cpu-clock','-F','399','-p',str(pid),'-o','/tmp/perfwork/perf.data'],stderr=open("perf.err","w"))
    import time; time.sleep(1)
    c.execute('explain (analyze, timing off) '+q)
    p.send_signal(2); p.wait()
