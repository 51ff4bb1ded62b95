import type { TransactionSql } from "postgres";

/** What is to be made or taken away, besides Message DB. */
export interface Step {
  readonly sql: string;
  /** What a role must be allowed to, to run it. */
  readonly right: string;
}

const SOURCE = `
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

// The owner's rights, because the writer may lack that to pg_notify(); a path, because operators have
// schemas too.
const FUNCTION = `
create or replace function message_store.notify_categories()
returns trigger
as $$${SOURCE}$$ language plpgsql
security definer
set search_path = pg_catalog, pg_temp
`;

const TRIGGER = `
drop trigger if exists messages_notify on message_store.messages;

create trigger messages_notify
after insert on message_store.messages
referencing new table as inserted
for each statement
execute function message_store.notify_categories()
`;

/** What is left to do to have the wake-ups, or to have none. */
export async function stepsToNotify(tx: TransactionSql, notify: boolean): Promise<Step[]> {
  // 4 is what a trigger's type is that comes after an insert and once a statement.
  const rows = await tx.unsafe(
    `
    select
      function.oid is not null,
      trigger.oid is not null,
      coalesce(
        prosrc = $1
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
    [SOURCE],
  ).values();
  const [hasFunction, hasTrigger, isOurFunction, isOurTrigger] = rows[0] as boolean[];
  const steps: Step[] = [];
  if (notify) {
    if (!isOurFunction) {
      steps.push({ sql: FUNCTION, right: 'create the function "notify_categories"' });
    }
    // Not replaced where it is the same: that waits for all who write, and they for it.
    if (!isOurTrigger) steps.push({ sql: TRIGGER, right: 'create the trigger "messages_notify"' });
  } else {
    if (hasTrigger) {
      steps.push({
        sql: "drop trigger messages_notify on message_store.messages",
        right: 'drop the trigger "messages_notify"',
      });
    }
    if (hasFunction) {
      steps.push({
        sql: "drop function message_store.notify_categories()",
        right: 'drop the function "notify_categories"',
      });
    }
  }
  return steps;
}
