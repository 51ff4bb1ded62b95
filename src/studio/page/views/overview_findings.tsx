import type { JSX } from "preact";
import { ageText, numberText, quantity } from "../lib/format.ts";
import type { StoreOf } from "../lib/status.ts";
import { useCall } from "../lib/use_call.ts";
import { Foreign } from "../parts/foreign.tsx";
import { CallOutcome } from "../parts/states.tsx";

/** What `diagnose` warns of; nothing if all is as it should be. */
export function Findings(): JSX.Element {
  const called = useCall("diagnose", {}, 60_000);
  return (
    <CallOutcome of={called} what="Examining the store">
      {(findings) => {
        const bad = findings.filter(({ state }) => state === "warning" || state === "error");
        const notes = findings.filter(({ state }) => state === "note");
        return (
          <>
            {bad.length > 0 && (
              <ul class="findings" aria-label="Findings">
                {bad.map((it, at) => <Finding key={at} of={it} />)}
              </ul>
            )}
            {notes.length > 0 && (
              <details class="notes">
                <summary>{quantity(notes.length, "note")} on the store and its server</summary>
                <ul class="findings">{notes.map((it, at) => <Finding key={at} of={it} />)}</ul>
              </details>
            )}
          </>
        );
      }}
    </CallOutcome>
  );
}

function Finding(
  { of: { state, text, advice } }: {
    readonly of: { readonly state: string; readonly text: string; readonly advice: string | null };
  },
): JSX.Element {
  return (
    <li class={`finding ${state}`}>
      <span class="state-word">{state}</span>
      <span>
        <Foreign text={text} most={1000} />
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
  const transactions = stores.flatMap((it) => it.transactions);
  if (transactions.length === 0) return null;
  return (
    <section>
      <h2>Long transactions</h2>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Long transactions">
        <table class="plain">
          <thead>
            <tr>
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
              <tr key={`${it.pid} ${it.prepared}`}>
                <td class="number">{it.pid ?? it.prepared}</td>
                <td>{it.age === null ? "" : ageText(it.age)}</td>
                <td>{it.state}</td>
                <td>{it.user && <Foreign text={it.user} most={60} />}</td>
                <td>{it.applicationName && <Foreign text={it.applicationName} most={60} />}</td>
                <td class="mono">
                  <Foreign
                    text={[...it.holdsAll ? ["all messages"] : [], ...it.categories].join(", ")}
                    most={200}
                  />
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
