/**
 * The commands and options in docs/reference/command-line.md, made of the program's own definitions.
 *
 * Run as a program, it renews the page: `npx tsx test/docs/command_table.ts`.
 */
import process from "node:process";
import { makeProgram } from "../../src/cli/program.ts";
import { renewPart, table } from "./_made_part.ts";

type Command = ReturnType<typeof makeProgram>;
type Argument = Command["registeredArguments"][number];
type Option = Command["options"][number];

export const COMMANDS_PAGE = "docs/reference/command-line.md";

/** A heading for each group, and for each command in it. */
export function commandTables(): string {
  const program = makeProgram();
  const commands = program.createHelp().visibleCommands(program);
  const groups = [...new Set(commands.map((command) => command.helpGroup()))];
  const parts = groups.flatMap((group) => [
    `## ${group.replace(/:$/, "")}`,
    ...commands.filter((command) => command.helpGroup() === group)
      .flatMap((command) => sectionsOf(command, [program.name()])),
  ]);
  return `\n${["## Options of every command", optionsOf(program), ...parts].join("\n\n")}\n\n`;
}

/** The section of a command, or those of its own commands. */
function sectionsOf(command: Command, parents: readonly string[]): string[] {
  const names = [...parents, command.name()];
  const own = command.commands.filter((it) => it.name() !== "help");
  if (own.length > 0) return own.flatMap((it) => sectionsOf(it, names));
  const usage = [...names.slice(1), ...command.registeredArguments.map(nameOf)].join(" ");
  return [
    `### \`${usage}\``,
    `${command.description()}.`,
    ...command.registeredArguments.length === 0
      ? []
      : [table(["Argument", ""], command.registeredArguments.map(rowOfArgument))],
    ...command.options.length === 0 ? [] : [optionsOf(command)],
  ];
}

function nameOf(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}

function rowOfArgument(argument: Argument): string[] {
  return [`\`${nameOf(argument)}\``, withChoices(argument)];
}

function optionsOf(command: Command): string {
  const options = command.createHelp().visibleOptions(command)
    .filter(({ long }) => long !== "--help");
  return table(["Option", ""], options.map((it) => [`\`${it.flags}\``, withChoices(it)]));
}

function withChoices(it: Argument | Option): string {
  const { description, argChoices, defaultValue } = it;
  return [
    description,
    ...argChoices ? [argChoices.map((choice) => `\`${choice}\``).join(", ")] : [],
    ...defaultValue === undefined ? [] : [`default \`${defaultValue}\``],
  ].join("; ");
}

if (process.argv[1]?.endsWith("command_table.ts")) renewPart(COMMANDS_PAGE, commandTables());
