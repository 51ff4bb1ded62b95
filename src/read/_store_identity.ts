/** Names the server's run, the database and the table, which is another one after a TRUNCATE. */
export const STORE = `to_json(concat_ws(' ',
  extract(epoch from pg_postmaster_start_time()),
  (select oid from pg_catalog.pg_database where datname = current_database()),
  pg_relation_filenode('message_store.messages'),
  pg_relation_filenode('message_store.messages_global_position_seq')
))::text`;
