import type { Finding } from "@messagedb/client/operate";
import type { Command } from "commander";
import { wholeNumber } from "../terminal/arguments.ts";
import { EXIT_CODE } from "../terminal/exit_code.ts";
import { withPostgres } from "../terminal/run.ts";
import { counted, countText, printable } from "../terminal/text.ts";

export function defineVerify(program: Command): void {
  program.command("verify")
    .description(
      "Look for gaps, duplicates, and positions that lead nowhere; exit with 1 if there are",
    )
    .argument("[category]", "a category (account); all messages by default")
    .option("--from <position>", "the first global position", wholeNumber(0))
    .action(withPostgres(async (
      { sql, output, signal },
      category: string | undefined,
      { from }: { from?: number },
    ) => {
      const { verify } = await import("@messagedb/client/operate");
      const counts = new Map<Finding["kind"], number>();
      let verified = 0;
      let position = from ?? 1;
      const selected = category === "$all" ? undefined : category;
      for await (const page of verify(sql, { category: selected, position: from })) {
        ({ checked: verified, next: position } = page);
        for (const finding of page.findings) {
          counts.set(finding.kind, (counts.get(finding.kind) ?? 0) + 1);
          if (output.isJson) await output.json(finding);
          else {
            const { red } = output.colors;
            await output.print(`${red(finding.kind.padEnd(9))}  ${printable(finding.text)}`);
          }
        }
        if (signal.aborted) {
          output.note(
            `Stopped after ${counted(verified, "message")}. Go on with --from ${position}`,
          );
          signal.throwIfAborted();
        }
        output.progress(
          `Verified ${counted(verified, "message")}, up to ${countText(position - 1)} ` +
            `of ${countText(page.head)}`,
        );
      }
      const findings = [...counts].map(([kind, count]) => `${countText(count)} ${kind}`);
      if (!output.isJson) {
        await output.print(
          `Verified ${counted(verified, "message")}: ${findings.join(", ") || "nothing is wrong"}`,
        );
      }
      return findings.length === 0 ? EXIT_CODE.done : EXIT_CODE.failed;
    }));
}
