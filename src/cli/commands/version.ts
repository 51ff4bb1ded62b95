import type { Command } from "commander";
import { withStore } from "../terminal/run.ts";

export function defineVersion(program: Command): void {
  program.command("version")
    .description("Print the version of a stream: the position of its last message, -1 for none")
    .argument("<stream>", "the stream: account-123")
    .action(withStore(async ({ sql, output }, stream: string) => {
      const { streamVersion } = await import("@messagedb/client");
      const version = await streamVersion(sql, stream);
      await (output.isJson ? output.json({ version }) : output.print(String(version)));
    }));
}
