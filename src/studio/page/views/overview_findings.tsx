import type { JSX } from "preact";
import type { CallAnswer } from "../lib/call.ts";
import { ageText, numberText, quantity } from "../lib/format.ts";
import type { StoreOf } from "../lib/status.ts";
import { useCall } from "../lib/use_call.ts";
import { Foreign } from "../parts/foreign.tsx";
import { CallOutcome } from "../parts/states.tsx";

type FindingOf = CallAnswer<"diagnose">[number];

/** What `diagnose` warns of; nothing if all is as it should be. */
export function Findings(): JSX.Element {
  const called = useCall("diagnose", {}, 60_000);
  return (
    <CallOutcome of={called} what="Examining the store">
      {(findings) => {
        const isFolded = ({ state, name }: FindingOf) => state === "note" || name === "durability";
        const found = findings.filter(({ state }) => state !== "ok");
        return (
          <>
            <List of={found.filter((it) => !isFolded(it))} />
            <Folded of={found.filter(isFolded)} />
          </>
        );
      }}
    </CallOutcome>
  );
}

function List({ of }: { readonly of: readonly FindingOf[] }): JSX.Element | null {
  if (of.length === 0) return null;
  return (
    <ul class="findings" aria-label="Findings">
      {of.map((it, at) => <Finding key={at} of={it} />)}
    </ul>
  );
}

/** What changes rarely: notes, and how the server is set up. A server to try things with warns for ever. */
function Folded({ of }: { readonly of: readonly FindingOf[] }): JSX.Element | null {
  if (of.length === 0) return null;
  const notes = of.filter(({ state }) => state === "note").length;
  const warnings = of.length - notes;
  return (
    <details class="notes">
      <summary>
        {warnings > 0 && (
          <span class="warn-text">
            {quantity(warnings, "warning")} about what survives a crash
          </span>
        )}
        {warnings > 0 && notes > 0 && ", "}
        {notes > 0 && `${quantity(notes, "note")} on the store and its server`}
      </summary>
      <List of={of} />
    </details>
  );
}

function Finding({ of: { state, text, advice, partition } }: { readonly of: FindingOf }) {
  return (
    <li class={`finding ${state}`}>
      <span class="state-word">{state}</span>
      <span>
        <Foreign text={text} most={1000} />
        {partition !== null && <span class="kind">partition {partition}</span>}
        {advice !== null && (
          <code class="advice">
            <Foreign text={advice} most={1000} />
          </code>
        )}
      </span>
    </li>
  );
}

/** The transactions that hold a category, or hold up readers of all messages. */
export function Transactions(
  { stores }: { readonly stores: readonly StoreOf[] },
): JSX.Element | null {
  const transactions = stores.flatMap((it) =>
    it.transactions.map((transaction) => ({ ...transaction, partition: it.number }))
  );
  const hasPartitions = transactions.some(({ partition }) => partition !== null);
  if (transactions.length === 0) return null;
  return (
    <section>
      <h2>Long transactions</h2>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Long transactions">
        <table class="plain">
          <thead>
            <tr>
              {hasPartitions && <th class="number">Partition</th>}
              <th class="number">Process</th>
              <th>Open for</th>
              <th>State</th>
              <th>Role</th>
              <th>Program</th>
              <th>Holds</th>
              <th class="number">Waiting</th>
            </tr>
          </thead>
          <tbody>
            {transactions.map((it) => (
              <tr key={`${it.partition} ${it.pid} ${it.prepared}`}>
                {hasPartitions && <td class="number">{it.partition}</td>}
                <td class="number">
                  {it.pid ?? (it.prepared && <Foreign text={it.prepared} most={60} />)}
                </td>
                <td>{it.age === null ? "" : ageText(it.age)}</td>
                <td>{it.state}</td>
                <td>{it.user && <Foreign text={it.user} most={60} />}</td>
                <td>{it.applicationName && <Foreign text={it.applicationName} most={60} />}</td>
                <td class="mono">
                  {(it.holdsAll || it.categories.length > 0) && (
                    <Foreign
                      text={[...it.holdsAll ? ["all messages"] : [], ...it.categories].join(", ")}
                      most={200}
                    />
                  )}
                </td>
                <td class="number">{numberText(it.waiting)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
