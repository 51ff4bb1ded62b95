import { expect, test } from "vitest";
import { committedPart } from "./_made_part.ts";
import { runSession, SESSION_PAGE, sessionText, withoutChance } from "./session.ts";

test("the session of the page is what the command line prints", async () => {
  const now = sessionText(await runSession());
  expect(withoutChance(committedPart(SESSION_PAGE)), "renew it: npx tsx test/docs/session.ts")
    .toBe(withoutChance(now));
});
