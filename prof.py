import sys,re; sys.path.insert(0,'/tmp/perfwork')
from cpu import cpu
s=open('/tmp/perfwork/h100/stg2.sql').read()
i=s.index('renamed as (\n\n    with')+len('renamed as ('); j=s.index('\n),\n\nevents as (')
q=s[i:j].replace('from first_messages','from pbm_bronze.raw_orders')
def upto(name):
    k=q.index('    %s as ('%name); 
    # end of cte: find next "\n    ),"
    e=q.index('\n    )',k)
    return q[:e]+'\n    ) select * from '+name
for n in ('payloads','envelopes','event_data','patients','texts','typed'):
    print(n, cpu(upto(n)))
print('all', cpu(q))
