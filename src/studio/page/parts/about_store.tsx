import type { JSX } from "preact";
import { markedText } from "../lib/marks.ts";
import { databaseText, useOpened } from "../lib/rights.ts";
import { Foreign } from "./foreign.tsx";

/** Which database the studio shows, and whether one may change it. */
export function AboutStore(): JSX.Element | null {
  const studio = useOpened();
  if (studio === undefined) return null;
  return (
    <p class="about">
      {studio.may.length === 0 ? "Read only" : "May write"}
      <br />
      {studio.databases.length > 0 && (
        <span title={markedText(studio.databases.join(", "), 1000)}>
          database{" "}
          <span class="mono">
            <Foreign text={databaseText(studio)} most={60} />
          </span>
          <br />
        </span>
      )}
      {studio.schema !== "message_store" && (
        <>
          schema <span class="mono">{studio.schema}</span>
          <br />
        </>
      )}
      {studio.version}
    </p>
  );
}
