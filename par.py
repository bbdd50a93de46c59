import os,psycopg,re
s=open('/tmp/perfwork/h100/stg3.sql').read()
i=s.index('renamed as (\n\n    with')+len('renamed as ('); j=s.index('\n),\n\nevents as (')
q=s[i:j].replace('from source','from pbm_bronze.raw_orders')
def upto(name):
    k=q.index('    %s as ('%name); e=q.index('\n    )',k)
    return q[:e]+'\n    ) select * from '+name
with psycopg.connect(os.environ['DSN']) as c:
    c.execute('set parallel_tuple_cost=0.001'); c.execute('set parallel_setup_cost=0')
    for n in ('payloads','envelopes','event_data','patients','texts','typed',None):
        qq=upto(n) if n else q
        plan='\n'.join(r[0] for r in c.execute('explain '+qq))
        print(n,'Gather' in plan)
        qq2=re.sub(r"(?s)offset 0 -- noqa: AM09",'',qq)
        print(n,'nooffset','Gather' in '\n'.join(r[0] for r in c.execute('explain '+qq2)))
