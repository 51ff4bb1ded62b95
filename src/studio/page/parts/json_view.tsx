import type { JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { copyText } from "../lib/announce.ts";
import { numberText, quantity, sizeText } from "../lib/format.ts";
import type { JsonChanges } from "../lib/json_changes.ts";
import { isOpenAtFirst, type JsonLine, jsonLines } from "../lib/json_lines.ts";
import { type JsonNode, type JsonTree, plainString, readJsonText } from "../lib/json_nodes.ts";
import { markedText } from "../lib/marks.ts";
import { Dialog } from "./dialog.tsx";
import { Foreign } from "./foreign.tsx";

const LONGEST_STRING = 240;
const LONGEST_KEY = 120;
/** With more lines than these, only those on the screen are made. */
const MOST_LINES = 400;
const LINE_HEIGHT = 20;
const MADE_LINES = 120;
/** An indentation beyond these levels would leave no room. */
const DEEPEST_INDENT = 16;

interface Viewed {
  readonly tree: JsonTree;
  readonly changes: JsonChanges | undefined;
  readonly toggle: (node: number) => void;
  readonly read: (node: number) => void;
}

/** A JSON text, highlighted and foldable: numbers, keys and their order are as they are in the text. */
export function JsonView(
  { text, isCut = false, changes, label }: {
    readonly text: string;
    readonly isCut?: boolean;
    readonly changes?: JsonChanges | undefined;
    /** What it is: "data". */
    readonly label: string;
  },
): JSX.Element {
  const tree = useMemo(() => readJsonText(text), [text]);
  const [state, setState] = useState<{ tree: JsonTree; toggled: ReadonlyMap<number, boolean> }>();
  const [reading, setReading] = useState<number>();
  const toggled = state?.tree === tree ? state.toggled : NOTHING;
  const isOpen = (node: JsonNode, index: number) =>
    toggled.get(index) ?? (isOpenAtFirst(node) || changes?.holding.has(index) === true);
  const lines = useMemo(() => jsonLines(tree, isOpen), [tree, toggled, changes]);
  const setAll = (isOpen: boolean) => {
    const all = tree.nodes.map((node, index) => [index, isOpen || node.depth === 0] as const);
    setState({ tree, toggled: new Map(all) });
  };
  const viewed: Viewed = {
    tree,
    changes,
    toggle: (node) =>
      setState({ tree, toggled: new Map([...toggled, [node, !isOpen(tree.nodes[node]!, node)]]) }),
    read: setReading,
  };
  return (
    <section class="json" aria-label={label}>
      <div class="json-bar">
        <h3>{label}</h3>
        <span class="faint">{sizeText(text.length)}{isCut ? ", cut" : ""}</span>
        <span class="grow" />
        <button type="button" class="quiet" onClick={() => setAll(true)}>Unfold</button>
        <button type="button" class="quiet" onClick={() => setAll(false)}>Fold</button>
        <button type="button" class="quiet" onClick={() => copyText(text, label)}>Copy</button>
      </div>
      {tree.nodes.length === 0
        ? (
          <p class="json-plain">
            <Foreign text={text} most={2000} />
          </p>
        )
        : <Lines key={label} lines={lines} viewed={viewed} label={label} />}
      {reading !== undefined && (
        <LongText
          text={textOfNode(tree, reading)}
          close={() => setReading(undefined)}
        />
      )}
    </section>
  );
}

/** What a long text shows by its layout. */
const LAYOUT = " \n\t";
const NOTHING: ReadonlyMap<number, boolean> = new Map();

function Lines(
  { lines, viewed, label }: {
    readonly lines: readonly JsonLine[];
    readonly viewed: Viewed;
    readonly label: string;
  },
): JSX.Element {
  const scroller = useRef<HTMLDivElement>(null);
  const [, setTop] = useState(0);
  // As it is now: lines are unfolded at the top, and folded away where one was.
  const top = scroller.current?.scrollTop ?? 0;
  if (lines.length <= MOST_LINES) {
    return (
      <div class="json-lines">
        {lines.map((line) => (
          <Line key={`${line.node} ${line.part}`} line={line} viewed={viewed} />
        ))}
      </div>
    );
  }
  const first = Math.max(
    0,
    Math.min(Math.floor(top / LINE_HEIGHT) - 20, lines.length - MADE_LINES),
  );
  const shown = lines.slice(first, first + MADE_LINES);
  return (
    <div
      class="json-lines json-window"
      ref={scroller}
      tabIndex={0}
      role="region"
      aria-label={`${label}, ${quantity(lines.length, "line")}`}
      onScroll={() => setTop(scroller.current!.scrollTop)}
    >
      <div style={{ height: `${lines.length * LINE_HEIGHT}px` }}>
        <div style={{ transform: `translateY(${first * LINE_HEIGHT}px)` }}>
          {shown.map((line) => (
            <Line key={`${line.node} ${line.part}`} line={line} viewed={viewed} />
          ))}
        </div>
      </div>
    </div>
  );
}

function Line(
  { line: { node: index, part }, viewed }: { readonly line: JsonLine; readonly viewed: Viewed },
): JSX.Element {
  const { tree, changes } = viewed;
  const node = tree.nodes[index]!;
  const change = part === "end"
    ? ""
    : changes?.added.has(index)
    ? " added"
    : changes?.changed.has(index)
    ? " changed"
    : part === "whole" && changes?.holding.has(index)
    ? " changed"
    : "";
  const indent = Math.min(node.depth, DEEPEST_INDENT) * 14 + 18;
  const hasComma = part !== "begin" && node.parent !== -1 &&
    node.after < tree.nodes[node.parent]!.after;
  return (
    <div class={`json-line${change}`} style={{ paddingLeft: `${indent}px` }}>
      {part !== "end" && node.size > 0 && (
        <button
          type="button"
          class="fold"
          style={{ left: `${indent - 18}px` }}
          aria-expanded={part === "begin"}
          aria-label={`${keyText(tree, node) || "value"}, ${sizeOf(node)}`}
          onClick={() => viewed.toggle(index)}
        />
      )}
      {change && <span class="sr">{change.trim()}</span>}
      {part !== "end" && node.key && (
        <>
          <span class="json-key">
            <Foreign text={tree.text.slice(...node.key)} most={LONGEST_KEY} />
          </span>
          {": "}
        </>
      )}
      <Value node={node} index={index} part={part} viewed={viewed} />
      {hasComma && ","}
    </div>
  );
}

function Value(
  { node, index, part, viewed }: {
    readonly node: JsonNode;
    readonly index: number;
    readonly part: JsonLine["part"];
    readonly viewed: Viewed;
  },
): JSX.Element {
  const { kind, start, end, size, isCut } = node;
  if (kind === "object" || kind === "array") {
    const [begin, finish] = kind === "object" ? ["{", "}"] : ["[", "]"];
    const ending = isCut ? <span class="json-cut">cut</span> : finish;
    if (part === "begin") return <>{begin}</>;
    if (part === "end") return <>{ending}</>;
    if (size === 0) return <>{begin}{ending}</>;
    return (
      <>
        {begin}
        <button type="button" class="json-more" onClick={() => viewed.toggle(index)}>
          {sizeOf(node)}
        </button>
        {ending}
      </>
    );
  }
  const isLong = end - start > LONGEST_STRING;
  const text = isLong
    ? viewed.tree.text.slice(start, start + LONGEST_STRING).trimEnd()
    : viewed.tree.text.slice(start, end);
  return (
    <>
      <span class={`json-${kind}`}>
        <Foreign text={text} most={LONGEST_STRING} />
        {isCut && !isLong && <span class="json-cut">cut</span>}
      </span>
      {isLong && (
        <button type="button" class="json-more" onClick={() => viewed.read(index)}>
          {`… ${numberText(end - start - LONGEST_STRING)} more characters`}
        </button>
      )}
    </>
  );
}

/** A long text by itself, without its escapes. */
function LongText({ text, close }: { readonly text: string; readonly close: () => void }) {
  const STEP = 20_000;
  const [most, setMost] = useState(STEP);
  return (
    <Dialog title={`Text of ${quantity(text.length, "character")}`} close={close} isWide>
      <pre
        class="long-text"
        tabIndex={0}
      ><Foreign text={text} most={most} keeps={LAYOUT} /></pre>
      <div class="actions">
        {most < text.length && (
          <button type="button" onClick={() => setMost(most + STEP)}>Show more</button>
        )}
        <button type="button" onClick={() => copyText(text, "the text")}>Copy</button>
      </div>
    </Dialog>
  );
}

function textOfNode({ text, nodes }: JsonTree, index: number): string {
  const { kind, start, end } = nodes[index]!;
  const json = text.slice(start, end);
  return kind === "string" ? plainString(json) : json;
}

function keyText({ text }: JsonTree, { key }: JsonNode): string {
  return key === undefined ? "" : markedText(text.slice(key[0] + 1, key[1] - 1), 80);
}

function sizeOf({ kind, size }: JsonNode): string {
  return kind === "object" ? quantity(size, "key") : quantity(size, "item");
}
