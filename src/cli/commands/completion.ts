import type { Sql } from "@messagedb/client";
import { Argument, type Command } from "commander";
import process from "node:process";
import { findNextWord, type NextWord } from "../terminal/completion.ts";
import { wholeStream } from "../terminal/consumer_name.ts";
import { withOutput } from "../terminal/run.ts";
import { openStore } from "../terminal/store.ts";
import { printable } from "../terminal/text.ts";

/** What the scripts take behind the words: a sum of these, after a colon. */
const NO_SPACE = 2;
const NO_FILES = 4;
/** Milliseconds. Who presses Tab waits no longer for a store. */
const STORE_PATIENCE = 1000;
/** A shell may run what stands in other names, such as `$(…)`. */
const IS_SAFE = /^\w[\w.:+@/-]*$/;

export function defineCompletion(program: Command): void {
  program.command("completion")
    .description("Print the script that completes commands, options and names at Tab")
    .addArgument(
      new Argument("<shell>", "the shell").choices(["bash", "zsh", "fish", "powershell"]),
    )
    .addHelpText(
      "after",
      `
  bash:        echo 'eval "$(messagedb completion bash)"' >> ~/.bashrc
  zsh:         echo 'source <(messagedb completion zsh)' >> ~/.zshrc
  fish:        messagedb completion fish > ~/.config/fish/completions/messagedb.fish
  powershell:  messagedb completion powershell >> $PROFILE`,
    )
    .action(withOutput(async ({ output }, shell: string) => {
      // The library's script for bash needs another package, and runs what stands in the line.
      if (shell === "bash") return await output.print(BASH);
      const { script } = await import("@bomb.sh/tab");
      script(shell, "messagedb", "messagedb");
    }));

  // The scripts call it.
  program.command("complete", { hidden: true })
    .argument("[words...]")
    .action(withOutput(async ({ output }, words: readonly string[]) => {
      const next = findNextWord(program, words);
      const names = await Promise.race([
        namesFor(next).catch(() => []),
        new Promise<never[]>((resolve) => setTimeout(resolve, STORE_PATIENCE, [])),
      ]);
      const found = [...next.words, ...names.map((name) => [name, ""] as const)]
        .filter(([word]) => word.startsWith(next.beginning));
      for (const [word, description] of found) {
        await output.print(`${word}\t${printable(description)}`);
      }
      const hasFiles = /^(file|folder|dir|directory)$/.test(next.placeholder ?? "");
      const isUnfinished = found.some(([word]) => word.endsWith("-"));
      await output.print(`:${(hasFiles ? 0 : NO_FILES) + (isUnfinished ? NO_SPACE : 0)}`);
      // A store that does not answer must not hold the shell.
      process.exit();
    }));
}

/** Names in the store that can stand there: categories, streams that were last written to, and consumers. */
async function namesFor({ placeholder, beginning, values }: NextWord): Promise<string[]> {
  if (!/^(category|stream|name|selection|consumer)\b/.test(placeholder ?? "")) return [];
  const last = (name: string) => values[name]?.at(-1);
  const { sql } = await openStore({
    url: values["url"],
    token: last("token"),
    schema: last("schema"),
    ...last("partition") !== undefined && { partition: Number(last("partition")) },
    partitionOf: last("partitionOf"),
  });
  const names = placeholder === "consumer"
    ? await consumerNames(sql, beginning)
    : placeholder !== "category" && beginning.includes("-")
    ? await lastStreams(sql, beginning)
    : await categoriesFor(sql, placeholder!);
  return names.filter((name) => IS_SAFE.test(name));
}

async function categoriesFor(sql: Sql, placeholder: string): Promise<string[]> {
  const { categories } = await import("@messagedb/client");
  const names = await categories(sql);
  return placeholder.startsWith("stream") ? names.map((name) => `${name}-`) : names;
}

/** Their names alone, or those of their streams where such a name is begun. */
async function consumerNames(sql: Sql, beginning: string): Promise<string[]> {
  const { consumers } = await import("@messagedb/client/operate");
  const names = (await consumers(sql)).map((it) =>
    beginning.includes(":") ? wholeStream(it) : it.consumerId ?? ""
  );
  return [...new Set(names)].sort();
}

async function lastStreams(sql: Sql, beginning: string): Promise<string[]> {
  const { category, readCategory } = await import("@messagedb/client");
  const page = { direction: "backward", batchSize: 200 } as const;
  const messages = await readCategory(sql, category(beginning), page);
  return [...new Set(messages.map(({ streamName }) => streamName))].sort();
}

const BASH = `# bash completion for messagedb

_messagedb_complete() {
  local i word value current prefix= joins= directive=0
  local -a words=()
  # Bash divides words at colons and equals signs.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ (-n $joins || $word == [:=]*) && \${#words[@]} -gt 0 ]]; then
      words[\${#words[@]} - 1]+=$word
    else
      words+=("$word")
    fi
    [[ $word == [:=]* ]] && joins=1 || joins=
  done
  current=\${words[\${#words[@]} - 1]}
  [[ $current == --*=* ]] && current=\${current#*=}
  [[ $current == *:* ]] && prefix=\${current%:*}:
  COMPREPLY=()
  while IFS=$'\\t' read -r value _; do
    case $value in
      :[0-9]*) directive=\${value#:} ;;
      "$current"*) COMPREPLY+=("\${value#"$prefix"}") ;;
    esac
  done < <(messagedb complete -- "\${words[@]}" 2> /dev/null)
  ((directive & 2)) && compopt -o nospace
  ((directive & 4)) || compopt -o default
  return 0
}

complete -F _messagedb_complete messagedb`;
