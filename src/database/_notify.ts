import type { TransactionSql } from "postgres";
import type { Change } from "./_change.ts";
import { queryRow } from "./_query_row.ts";
import { PINNED_SEARCH_PATH } from "./_search_path.ts";

const NOTIFY_FUNCTION_BODY = `
begin
  -- Behind a listener that is stuck in a transaction the queue fills, and a full one fails commits.
  if pg_catalog.pg_notification_queue_usage() < 0.5 then
    perform pg_catalog.pg_notify('message_store', category)
    from (
      select distinct pg_catalog.split_part(stream_name, '-', 1) as category
      from inserted
    ) as categories
    -- What is longer is no payload. An index holds it nonetheless, if it can be compressed.
    where pg_catalog.octet_length(category) < 8000;
  end if;
  return null;
end;
`;

// The function has its owner's rights, because a writer may lack the right to pg_notify(). It has a search
// path of its own, because operators are found by the search path, too.
const CREATE_NOTIFY_FUNCTION = `
create or replace function message_store.notify_categories()
returns trigger
as $$${NOTIFY_FUNCTION_BODY}$$ language plpgsql
security definer
set search_path = pg_catalog, pg_temp
`;

const CREATE_NOTIFY_TRIGGER = `
drop trigger if exists messages_notify on message_store.messages;

create trigger messages_notify
after insert on message_store.messages
referencing new table as inserted
for each statement
execute function message_store.notify_categories()
`;

/** The changes that are left to do, so that writes notify, or do not. */
export function notifyChanges(
  { hasFunction, hasTrigger, isOurFunction, isOurTrigger }: NotifyState,
  isWanted: boolean,
): Change[] {
  const changes: Change[] = [];
  const push = (right: string, sql: string): void => {
    changes.push({ does: [right], right, sql, searchPath: PINNED_SEARCH_PATH });
  };
  if (isWanted) {
    if (!isOurFunction) push('create the function "notify_categories"', CREATE_NOTIFY_FUNCTION);
    // A trigger that is ours stays, because its replacement would wait for all writers, and they for it.
    if (!isOurTrigger) push('create the trigger "messages_notify"', CREATE_NOTIFY_TRIGGER);
    return changes;
  }
  if (hasTrigger) {
    push(
      'drop the trigger "messages_notify"',
      "drop trigger messages_notify on message_store.messages",
    );
  }
  if (hasFunction) {
    push(
      'drop the function "notify_categories"',
      "drop function message_store.notify_categories()",
    );
  }
  return changes;
}

/** Whether there is a function and a trigger by our names, and whether they are as we create them. */
export interface NotifyState {
  readonly hasFunction: boolean;
  readonly hasTrigger: boolean;
  readonly isOurFunction: boolean;
  readonly isOurTrigger: boolean;
}

/** There is neither a function nor a trigger. */
export const NO_NOTIFY: NotifyState = {
  hasFunction: false,
  hasTrigger: false,
  isOurFunction: false,
  isOurTrigger: false,
};

export async function readNotify(tx: TransactionSql): Promise<NotifyState> {
  // The type of a trigger is 4 if it runs after an insert, once for each statement.
  const row = await queryRow<[boolean, boolean, boolean, boolean]>(
    tx,
    `
    select
      function.oid is not null,
      trigger.oid is not null,
      coalesce(
        prosrc = $body$${NOTIFY_FUNCTION_BODY}$body$
          and prosecdef
          and proconfig = array['search_path=pg_catalog, pg_temp'],
        false
      ),
      coalesce(
        tgfoid = function.oid
          and tgtype = 4
          and tgenabled = 'O'
          and tgnewtable = 'inserted'
          and tgqual is null,
        false
      )
    from pg_namespace schema
    join pg_class messages on relnamespace = schema.oid and relname = 'messages'
    left join pg_trigger trigger on tgrelid = messages.oid and tgname = 'messages_notify'
    left join pg_proc function
      on pronamespace = schema.oid and proname = 'notify_categories' and pronargs = 0
    where nspname = 'message_store'
  `,
  );
  if (row === undefined) return NO_NOTIFY;
  const [hasFunction, hasTrigger, isOurFunction, isOurTrigger] = row;
  return { hasFunction, hasTrigger, isOurFunction, isOurTrigger };
}
