import type postgres from "postgres";

/** What statements name: each may be written with the schema `pg_catalog`, or without. */
export interface Names {
  readonly functions: readonly string[];
  readonly operators: readonly string[];
  readonly types: readonly string[];
}

/** Reads from the text of statements what they name. A name too many does no harm. */
export function namesIn(statements: Iterable<string>): Names {
  const text = [...statements].join("\n").toLowerCase();
  const all = (
    pattern: RegExp,
  ): string[] => [...new Set([...text.matchAll(pattern)].map((it) => it[1]!))];
  return {
    functions: all(/(\w+)\s*\(/g),
    // `=` and `~~` are here because IN, CASE, NULLIF and LIKE use them without naming them.
    operators: [...new Set([...all(/([-+*/<>=~!@#%^&|]+)/g), "=", "<>", "~~", "!~~"])],
    types: [
      ...all(/::\s*(?:pg_catalog\.)?(\w+)/g),
      ...all(/\b(text|varchar|name|oid|jsonb?|uuid|int8)\b/g),
    ],
  };
}

/**
 * Plants strangers in a schema: for each function and operator of PostgreSQL with one of these names one of the
 * same types and one for each pair of common types, and for each type a domain.
 *
 * Each stranger that is called takes a number from the sequence `trap.calls`, which no rollback gives back, and
 * raises an error.
 */
export async function plant(sql: postgres.Sql, schema: string, names: Names): Promise<void> {
  await sql.unsafe(`
    create schema if not exists trap;
    grant usage on schema trap to public;
    create sequence if not exists trap.calls;
    grant usage, select on sequence trap.calls to public;
    create or replace function trap.spring(name text) returns boolean language plpgsql as $$ begin
      perform pg_catalog.nextval('trap.calls');
      raise exception 'a stranger was called: %', name;
    end $$`);
  await sql.begin(async (tx) => {
    await tx.unsafe("set local search_path = pg_catalog; set local client_min_messages = error");
    await tx.unsafe(PLANT_FUNCTION);
    const lists = [names.functions, names.operators, names.types].map((it) => JSON.stringify(it));
    await tx.unsafe("select pg_temp.plant($1, $2::text::json, $3::text::json, $4::text::json)", [
      schema,
      ...lists,
    ]);
    await tx.unsafe("drop function pg_temp.plant");
  });
}

/** How many strangers were called so far. */
export async function trapCalls(sql: postgres.Sql): Promise<number> {
  const [row] = await sql.unsafe(
    "select case when is_called then last_value else 0 end::pg_catalog.text as calls from trap.calls",
  );
  return Number(row!["calls"]);
}

const PLANT_FUNCTION = `
create function pg_temp.plant(schema text, functions json, operators json, types json)
returns void language plpgsql as $plant$
declare
  found record;
  number int := 0;
  common text[] := array[
    'text', 'varchar', 'name', 'bigint', 'int', 'jsonb', 'json', 'uuid', 'boolean', 'timestamp', 'oid',
    'regclass', '"char"', 'double precision', 'timestamptz'
  ];
  body text := 'language plpgsql as $$ begin perform trap.spring(%L); end $$';
begin
  for found in
    with own as (
      select
        proname, replace(pg_get_function_identity_arguments(oid), ' ORDER BY ', ', ') as args,
        case prokind when 'f' then pg_get_function_result(oid) else 'boolean' end as result
      from pg_proc
      where pronamespace = 'pg_catalog'::regnamespace
        and proname in (select json_array_elements_text(functions))
        and not ('"any"'::regtype = any (proargtypes) or 'internal'::regtype = any (proargtypes))
    )
    select * from own
    union
    -- Message DB's functions pass on what is varchar.
    select proname, regexp_replace(args, '\\mtext\\M', 'varchar', 'g'), result from own
    union
    select proname, regexp_replace(args, '\\mtext\\M', 'varchar'), result from own
  loop
    begin
      execute format(
        'create function %I.%I(%s) returns %s ' || body,
        schema, found.proname, found.args, found.result, found.proname
      );
    exception when others then null; -- A type that no function but PostgreSQL's own may have.
    end;
  end loop;
  -- What takes any type: a stranger of the very types fits better.
  for found in
    select distinct proname, args
    from pg_proc,
      lateral (
        select type as args from unnest(common) as type
        union all
        select a || ', ' || b from unnest(common) as a, unnest(common) as b
        union all
        select string_agg(type, ', ')
        from generate_series(3, 40) as size, unnest(array['text', 'json']) as type,
          generate_series(1, size)
        group by size, type
      ) as taken
    where pronamespace = 'pg_catalog'::regnamespace
      and proname in (select json_array_elements_text(functions))
      and proargtypes::oid[] && array(
        select oid from pg_type where typname like 'any%' and typtype = 'p'
      )
  loop
    begin
      execute format(
        'create function %I.%I(%s) returns text ' || body, schema, found.proname, found.args, found.proname
      );
    exception when others then null; -- The same types as above.
    end;
  end loop;
  for found in
    select oprname, format_type(oprleft, null) as left, format_type(oprright, null) as right,
      format_type(oprresult, null) as result
    from pg_operator
    where oprname in (select json_array_elements_text(operators))
      and oprkind = 'b' and oprnamespace = 'pg_catalog'::regnamespace
    union
    select oprname, a, b, format_type(oprresult, null)
    from (
        select distinct on (oprname) oprname, oprresult
        from pg_operator
        where oprname in (select json_array_elements_text(operators)) and oprkind = 'b'
      ) as operator,
      unnest(common) as a, unnest(common) as b
  loop
    begin
      number := number + 1;
      execute format(
        'create function %I.%I(%s, %s) returns %s ' || body,
        schema, 'operator_' || number, found.left, found.right, found.result, found.oprname
      );
      execute format(
        'create operator %I.%s (leftarg = %s, rightarg = %s, function = %I.%I)',
        schema, found.oprname, found.left, found.right, schema, 'operator_' || number
      );
    exception when others then null; -- A pair of types that is there already.
    end;
  end loop;
  for found in
    select typname
    from pg_type
    where typname in (select json_array_elements_text(types))
      and typnamespace = 'pg_catalog'::regnamespace and typtype = 'b'
  loop
    begin
      execute format(
        'create domain %I.%I as pg_catalog.%I check (trap.spring(%L))',
        schema, found.typname, found.typname, found.typname
      );
    exception when duplicate_object then null;
    end;
  end loop;
end $plant$`;
