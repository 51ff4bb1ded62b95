import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useKeyDown } from "../lib/keys.ts";
import { useNarrow } from "../lib/media.ts";

/** A column of a table: on a phone, the cells of a row stand in two lines. */
export interface RowColumn<Row> {
  readonly name: string;
  /** A width of CSS grid: "90px", "minmax(120px, 1fr)". */
  readonly width: string;
  readonly cell: (row: Row) => ComponentChildren;
  readonly isNumber?: boolean;
  /** What it is on a phone: on the first line, on the second, or not there. */
  readonly phone?: "first" | "second" | "none";
}

interface RowsProps<Row> {
  readonly label: string;
  readonly columns: readonly RowColumn<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  /** What Enter and a click do. */
  readonly open: (row: Row) => void;
  readonly selected?: string | undefined;
  /** What is added to a row's classes. */
  readonly classOf?: (row: Row) => string;
  /** How many rows came on top of the first ones: what one reads stays where it is. */
  readonly shift?: number;
  /** How many of them are new: who is at the very top follows those. */
  readonly fresh?: number;
  /** Told which row is the first that one sees. */
  readonly onScrolled?: (index: number) => void;
  readonly onTop?: () => void;
  readonly onBottom?: () => void;
  readonly foot?: ComponentChildren;
}

const ROW = 28;
const PHONE_ROW = 52;
const HEAD = 28;
const MARGIN = 12;
/** So near to an end, the next rows are read. */
const NEAR = 600;

/** A table that makes only the rows that one sees. j, k and the arrows go through it, Enter opens a row. */
export function RowTable<Row>(props: RowsProps<Row>): JSX.Element {
  const { label, columns, rows, keyOf } = props;
  const height = useNarrow() ? PHONE_ROW : ROW;
  const scroller = useRef<HTMLDivElement>(null);
  const { top, room, onScroll } = useScrolling(scroller, props, height);
  const { activeKey, choose, onKeyDown } = useActiveRow(scroller, props, height);
  const first = Math.max(0, Math.floor(top / height) - MARGIN);
  const last = Math.min(rows.length, Math.ceil((top + room) / height) + MARGIN);
  const style = { gridTemplateColumns: columns.map(({ width }) => width).join(" ") };
  return (
    <div class="rows" ref={scroller} onScroll={onScroll} onKeyDown={onKeyDown}>
      <div role="table" aria-label={label} aria-rowcount={rows.length + 1}>
        <Head columns={columns} style={style} />
        <div role="rowgroup" class="rows-body" style={{ height: `${rows.length * height}px` }}>
          {rows.slice(first, last).map((row, at) => (
            <BodyRow
              key={keyOf(row)}
              row={row}
              props={props}
              style={{ ...style, transform: `translateY(${(first + at) * height}px)` }}
              index={first + at}
              isActive={keyOf(row) === activeKey}
              choose={() => choose(keyOf(row))}
            />
          ))}
        </div>
      </div>
      {props.foot}
    </div>
  );
}

/** The row that the keys are at. */
function useActiveRow<Row>(
  scroller: { readonly current: HTMLDivElement | null },
  { rows, keyOf, open, selected }: RowsProps<Row>,
  height: number,
): {
  readonly activeKey: string | undefined;
  readonly choose: (key: string) => void;
  readonly onKeyDown: (event: KeyboardEvent) => void;
} {
  const [active, setActive] = useState<Active>();
  const wantsFocus = useRef(false);
  const wanted = active?.selected === selected ? active?.key : selected ?? active?.key;
  const found = rows.findIndex((row) => keyOf(row) === wanted);
  const index = Math.max(0, found);
  const activeKey = rows[index] && keyOf(rows[index]);
  const sought = useRef<string | undefined>(undefined);
  const choose = (key: string) => setActive({ key, selected });
  useLayoutEffect(() => {
    if (rows.length === 0 || sought.current === selected) return;
    // If it comes with later rows, one reads something else by then.
    sought.current = selected;
    const isThere = selected !== undefined && selected === activeKey;
    if (isThere && scroller.current) show(scroller.current, index, height);
  });
  const focusRow = (index: number) => {
    const row = rows[index];
    if (row === undefined || !scroller.current) return;
    choose(keyOf(row));
    wantsFocus.current = true;
    show(scroller.current, index, height);
    if (selected !== undefined) open(row);
  };
  // The row that has the focus may be made anew, or not be made until one comes back to it.
  const hadFocus = useRef(false);
  hadFocus.current ||= scroller.current?.contains(document.activeElement) === true;
  useLayoutEffect(() => {
    const isNowhere = document.activeElement === document.body;
    hadFocus.current &&= isNowhere;
    const row = scroller.current?.querySelector<HTMLElement>('[role="row"][tabindex="0"]');
    if (!row || !wantsFocus.current && !hadFocus.current) return;
    wantsFocus.current = hadFocus.current = false;
    row.focus({ preventScroll: true });
  });
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.target as Element).closest("a, button")) return;
    const page = Math.floor((scroller.current?.clientHeight ?? 0) / height);
    const target = targetOf(event, index, rows.length, page);
    if (target !== undefined) {
      event.preventDefault();
      focusRow(target);
    } else if (event.key === "Enter" && rows[index] !== undefined) {
      event.preventDefault();
      open(rows[index]);
    }
  };
  // Wherever the focus is: the first key goes to the table, the others through it.
  useKeyDown("input, textarea, select, dialog, [role=tree]", (event) => {
    const step = event.key === "j" ? 1 : event.key === "k" ? -1 : 0;
    if (step === 0 || scroller.current?.contains(event.target as Element)) return;
    event.preventDefault();
    // Where nothing is chosen, one begins with what one sees.
    const seen = Math.ceil((scroller.current?.scrollTop ?? 0) / height);
    focusRow(
      found === -1 ? Math.min(seen, rows.length - 1) : targetOf(event, index, rows.length, 0)!,
    );
  });
  return { activeKey, choose, onKeyDown };
}

/** The row that was gone to last, and what was selected then: what is selected later comes before it. */
interface Active {
  readonly key: string;
  readonly selected: string | undefined;
}

/** Scrolls so far that one sees a row. */
function show(element: HTMLElement, index: number, height: number): void {
  const place = index * height;
  const room = element.clientHeight - HEAD;
  if (place < element.scrollTop) element.scrollTop = place;
  if (place + height > element.scrollTop + room) element.scrollTop = place + height - room;
}

function Head<Row>(
  { columns, style }: {
    readonly columns: readonly RowColumn<Row>[];
    readonly style: Record<string, string>;
  },
): JSX.Element {
  return (
    <div role="rowgroup" class="rows-head">
      <div role="row" aria-rowindex={1} class="row head" style={style}>
        {columns.map(({ name, isNumber }) => (
          <span key={name} role="columnheader" class={isNumber ? "number" : ""}>{name}</span>
        ))}
      </div>
    </div>
  );
}

function BodyRow<Row>(
  { row, props, style, index, isActive, choose }: {
    readonly row: Row;
    readonly props: RowsProps<Row>;
    readonly style: Record<string, string>;
    readonly index: number;
    readonly isActive: boolean;
    readonly choose: () => void;
  },
): JSX.Element {
  const isSelected = props.keyOf(row) === props.selected;
  const onClick = (event: MouseEvent) => {
    if ((event.target as Element).closest("a, button, input")) return;
    if (getSelection()?.isCollapsed === false) return;
    choose();
    props.open(row);
  };
  return (
    <div
      role="row"
      class={`row body ${isSelected ? "selected" : ""} ${props.classOf?.(row) ?? ""}`}
      style={style}
      aria-rowindex={index + 2}
      aria-current={isSelected ? "true" : undefined}
      tabIndex={isActive ? 0 : -1}
      onClick={onClick}
      onFocus={choose}
    >
      {props.columns.map(({ name, cell, isNumber, phone = "none" }) => (
        <span key={name} role="cell" class={`cell ${isNumber ? "number" : ""} phone-${phone}`}>
          {cell(row)}
        </span>
      ))}
    </div>
  );
}

/** Follows the scrolling, and keeps what one reads in its place when rows come on top. */
function useScrolling<Row>(
  scroller: { readonly current: HTMLDivElement | null },
  { shift = 0, fresh = 0, rows, onScrolled, onTop, onBottom }: RowsProps<Row>,
  height: number,
): { readonly top: number; readonly room: number; readonly onScroll: () => void } {
  const [[, room], setPlace] = useState<readonly [number, number]>([0, 800]);
  const known = useRef([shift, fresh, height]);
  // As it is now: rows that are made for a place that was left lose the focus, and are not seen.
  const place = scroller.current?.scrollTop ?? 0;
  const [knownShift, knownFresh, knownHeight] = known.current as [number, number, number];
  const followed = place === 0 ? fresh - knownFresh : 0;
  const top = place * (height / knownHeight) + (shift - knownShift - followed) * height;
  const measure = () => {
    const element = scroller.current;
    if (!element) return;
    const { scrollTop, clientHeight, scrollHeight } = element;
    setPlace(([top, room]) =>
      top === scrollTop && room === clientHeight ? [top, room] : [scrollTop, clientHeight]
    );
    onScrolled?.(Math.floor(scrollTop / height));
    if (scrollTop < NEAR) onTop?.();
    if (scrollHeight - scrollTop - clientHeight < NEAR) onBottom?.();
  };
  const latest = useRef(measure);
  latest.current = measure;
  useLayoutEffect(() => {
    known.current = [shift, fresh, height];
    if (scroller.current && top !== place) scroller.current.scrollTop = top;
  }, [shift, rows, height]);
  useEffect(measure, [rows, onTop, onBottom]);
  useEffect(() => {
    const observer = new ResizeObserver(() => latest.current());
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, []);
  return { top, room, onScroll: measure };
}

/** The row that a key goes to. */
function targetOf(
  event: KeyboardEvent,
  index: number,
  count: number,
  page: number,
): number | undefined {
  if (event.metaKey || event.ctrlKey || event.altKey) return undefined;
  const wanted: Readonly<Record<string, number>> = {
    j: index + 1,
    ArrowDown: index + 1,
    k: index - 1,
    ArrowUp: index - 1,
    PageDown: index + page,
    PageUp: index - page,
    Home: 0,
    End: count - 1,
  };
  const target = wanted[event.key];
  return target === undefined ? undefined : Math.min(Math.max(target, 0), count - 1);
}
