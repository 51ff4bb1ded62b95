import type { Argument, Command, Option } from "commander";

/** What is written so far, as far as it tells what can follow. */
interface Written {
  readonly command: Command;
  /** How many arguments the command has already. */
  readonly position: number;
  /** The option whose value is written next. */
  readonly option: Option | undefined;
  /** The values of the options before. */
  readonly values: Readonly<Record<string, readonly string[]>>;
}

/** What can be written next. */
export interface NextWord {
  /** Words, each with what it is. */
  readonly words: readonly (readonly [word: string, description: string])[];
  /** What else stands there: `"stream"`, as the help names it; undefined if nothing does. */
  readonly placeholder: string | undefined;
  /** The beginning of the word, without the option that it is the value of. */
  readonly beginning: string;
  /** The options before. */
  readonly values: Readonly<Record<string, readonly string[]>>;
}

/** Finds out what can follow the words of a command line. The last word is not complete yet. */
export function findNextWord(program: Command, line: readonly string[]): NextWord {
  const last = line.at(-1) ?? "";
  const [name, value] = splitOption(last);
  // The value of an option in the same word is written as one behind it.
  const before = value === undefined ? line.slice(0, -1) : [...line.slice(0, -1), name];
  const beginning = value ?? last;
  const { command, position, option, values } = readWritten(program, before);
  if (option !== undefined) return { ...choicesOf(option, option.flags), beginning, values };
  if (beginning.startsWith("-")) {
    const words = optionsOf(command, program)
      .map(({ long, short, description }) => [long ?? short!, description] as const);
    return { words, placeholder: undefined, beginning, values };
  }
  const help = command.createHelp();
  const commands = position > 0 ? [] : help.visibleCommands(command);
  if (commands.length > 0) {
    const words = commands.map((it) => [it.name(), help.subcommandDescription(it)] as const);
    return { words, placeholder: undefined, beginning, values };
  }
  const argument = argumentAt(command, position);
  if (argument === undefined) return { words: [], placeholder: undefined, beginning, values };
  return { ...choicesOf(argument, `<${argument.name()}>`), beginning, values };
}

function readWritten(program: Command, words: readonly string[]): Written {
  let [command, position, option]: [Command, number, Option | undefined] = [program, 0, undefined];
  const values: Record<string, string[]> = {};
  const add = (option: Option, value: string) =>
    (values[option.attributeName()] ??= []).push(value);
  for (const word of words) {
    if (option !== undefined) {
      add(option, word);
      option = undefined;
      continue;
    }
    if (word.startsWith("-") && word !== "-") {
      const [name, value] = splitOption(word);
      const found = optionsOf(command, program).find(({ long, short }) =>
        long === name || short === name
      );
      if (!found?.required) continue;
      if (value === undefined) option = found;
      else add(found, value);
      continue;
    }
    const next = position > 0 ? undefined : command.commands.find((it) => it.name() === word);
    if (next === undefined) position++;
    else command = next;
  }
  return { command, position, option, values };
}

function splitOption(word: string): [name: string, value: string | undefined] {
  const [, name, value] = /^(--[^=]+)=(.*)$/s.exec(word) ?? [];
  return name === undefined ? [word, undefined] : [name, value];
}

function optionsOf(command: Command, program: Command): Option[] {
  const help = command.createHelp();
  const own = help.visibleOptions(command);
  const global = program.options.filter(({ long }) => long !== "--version");
  return command === program ? own : [...own, ...global];
}

function argumentAt({ registeredArguments }: Command, position: number): Argument | undefined {
  const last = registeredArguments.at(-1);
  return registeredArguments[position] ?? (last?.variadic ? last : undefined);
}

function choicesOf(
  { argChoices = [] }: Argument | Option,
  flags: string,
): Pick<NextWord, "words" | "placeholder"> {
  const [, placeholder] = /<([^<>]+)>/.exec(flags) ?? [];
  return { words: argChoices.map((word) => [word, ""]), placeholder };
}
