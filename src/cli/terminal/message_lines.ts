import type { Message } from "@messagedb/client";
import type { Output } from "./output.ts";
import { printable, timeText } from "./text.ts";

/** Prints a message: two lines for people, a line of JSON for machines. */
export async function printMessage(output: Output, message: Message): Promise<void> {
  if (output.isJson) return await output.json(message);
  const { streamName, position, globalPosition, type, time, data, metadata } = message;
  const { bold, cyan, dim } = output.colors;
  const place = `${printable(streamName)} ${position}`;
  const all = dim(`#${globalPosition} ${timeText(time)}`);
  await output.print(`${cyan(place)}  ${bold(printable(type))}  ${all}`);
  if (data !== null) await output.print(`  ${printable(JSON.stringify(data))}`);
  if (metadata !== null) await output.print(dim(`  ${printable(JSON.stringify(metadata))}`));
}
