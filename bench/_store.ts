import type { Sql } from "postgres";

/** How large a store is made. */
export interface StoreSize {
  readonly messages: number;
  readonly streams: number;
}

/**
 * Fills an empty store by plain SQL, with what a year of use leaves behind.
 *
 * A few streams are long and most are short; of twenty streams eight are accounts, five are orders,
 * three are payments, and one each has commands, an aggregate's references, a consumer's positions and
 * an entity's snapshots. A third of the messages have a correlation. It is the same each time, but for
 * the ids.
 */
export async function fillStore(sql: Sql, { messages, streams }: StoreSize): Promise<void> {
  await sql.begin(async (tx) => {
    await tx.unsafe("select setseed(0.5)");
    // Positions in the order of the global ones: nextval() is called after the sort.
    await tx.unsafe(
      `
      with
        drawn as materialized (
          select
            number,
            case
              when number <= $2::int then number - 1
              else floor(power(random(), 3) * $2::int)::int
            end as stream,
            random() as correlation,
            random() as type,
            1 + floor(random() * number)::int as earlier
          from generate_series(1, $1::int) as number
        ),
        named as (
          select *,
            case
              when stream % 20 < 8 then 'account'
              when stream % 20 < 13 then 'order'
              when stream % 20 < 16 then 'payment'
              when stream % 20 = 16 then 'account:command'
              when stream % 20 = 17 then 'ledger'
              when stream % 20 = 18 then 'account:position'
              else 'account:snapshot'
            end as category
          from drawn
        )
      insert into message_store.messages (stream_name, position, type, data, metadata, time)
      select
        category || '-' || stream,
        row_number() over (partition by stream order by number) - 1,
        case
          when category = 'account:position' then 'Recorded'
          when category = 'account:snapshot' then 'Recorded:1'
          when type < 0.9 then 'Deposited'
          when type < 0.99 then 'Withdrawn'
          else 'Closed'
        end,
        case category
          when 'account:position' then jsonb_build_object('position', earlier)
          when 'account:snapshot' then jsonb_build_object(
            'entityData', 1, 'entityVersion', 0, 'messageId', '', 'messageGlobalPosition', earlier
          )
          else jsonb_build_object('amount', earlier, 'note', repeat('x', 50))
        end,
        case
          when category = 'ledger' then jsonb_build_object('causationMessageGlobalPosition', earlier)
          when correlation < 0.1 then jsonb_build_object('correlationStreamName', 'transfer-' || earlier)
          when correlation < 0.3 then jsonb_build_object('correlationStreamName', 'order-' || earlier)
        end,
        timestamp '2026-01-01' + number * interval '31 s'
      from named
      order by number`,
      [String(messages), String(streams)],
    );
  });
  await sql.unsafe("vacuum analyze message_store.messages");
}
