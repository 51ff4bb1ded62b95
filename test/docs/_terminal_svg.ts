/** A terminal session as an SVG that plays it: no script, no font and no picture from elsewhere. */

/** A command of a session, and what it printed, with its colours. */
export interface Step {
  readonly command: string;
  readonly output: string;
}

const COLUMNS = 100;
const ROWS = 28;
const WIDTH = 8.4;
const HEIGHT = 19;
const MARGIN = 16;
const FOREGROUND = "#e6edf3";
const BACKGROUND = "#0d1117";
const COLORS: Readonly<Record<number, string>> = {
  31: "#ff7b72",
  32: "#7ee787",
  33: "#e3b341",
  34: "#79c0ff",
  35: "#d2a8ff",
  36: "#76e3ea",
  90: "#9198a1",
};

/** What is typed a second, how long a command takes, and how long its output is read, in seconds. */
const TYPED = 22;
const TAKES = 0.4;
const READ = { step: 1.2, line: 0.22 };
const LAST_READ = 6;

/** A line on the screen, from the second at which it is there. */
interface Line {
  readonly text: string;
  readonly at: number;
  /** Until when it is typed; undefined if it is printed at once. */
  readonly typedUntil?: number;
}

/** Draws the session. */
export function drawSession(steps: readonly Step[]): string {
  const { lines, duration } = playOf(steps);
  const width = COLUMNS * WIDTH + 2 * MARGIN;
  const height = ROWS * HEIGHT + 2 * MARGIN;
  const percent = (second: number) => `${(second / duration * 100).toFixed(3)}%`;
  const rules = lines.map(({ at }, n) =>
    `@keyframes l${n}{0%,${percent(at)}{opacity:0}${percent(at + 0.01)},100%{opacity:1}}` +
    `#l${n}{animation-name:l${n}}`
  );
  for (const [n, { text, at, typedUntil }] of lines.entries()) {
    if (typedUntil === undefined) continue;
    const count = text.length - 2;
    rules.push(
      `@keyframes c${n}{0%,${
        percent(at)
      }{transform:none;animation-timing-function:steps(${count})}` +
        `${percent(typedUntil)},100%{transform:translateX(${(count * WIDTH).toFixed(1)}px)}}` +
        `#c${n}{animation-name:c${n};transform:translateX(${COLUMNS * WIDTH}px)}`,
    );
  }
  const { scroll, last } = scrollOf(lines, percent);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="A session with messagedb in a terminal">
<style>
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre;fill:${FOREGROUND}}
.l,.c,#s{animation-duration:${duration.toFixed(1)}s;animation-iteration-count:infinite}
#s{animation-name:s;animation-timing-function:step-end;transform:translateY(${last}px)}
@keyframes s{${scroll}}
${rules.join("\n")}
@media (prefers-reduced-motion:reduce){.l,.c,#s{animation:none}}
</style>
<rect width="${width}" height="${height}" rx="8" fill="${BACKGROUND}"/>
<svg x="${MARGIN}" y="${MARGIN}" width="${COLUMNS * WIDTH}" height="${ROWS * HEIGHT}"><g id="s">
${lines.map(drawLine).join("\n")}
</g></svg>
</svg>
`;
}

/** When each line is on the screen. */
function playOf(steps: readonly Step[]): { readonly lines: Line[]; readonly duration: number } {
  const lines: Line[] = [];
  let now = 0.5;
  for (const { command, output } of steps) {
    const typed = command.split("\n");
    for (const [n, text] of typed.entries()) {
      const typedUntil = now + text.length / TYPED;
      lines.push({ text: `${n === 0 ? "$" : ">"} ${text}`, at: now, typedUntil });
      now = typedUntil;
    }
    now += TAKES;
    const printed = output.replace(/\n$/, "").split("\n");
    if (output !== "") lines.push(...printed.map((text) => ({ text, at: now })));
    lines.push({ text: "", at: now });
    now += READ.step + READ.line * printed.length;
  }
  return { lines, duration: now + LAST_READ };
}

/** How far the lines move up, by the time at which one more has no room. */
function scrollOf(
  lines: readonly Line[],
  percent: (second: number) => string,
): { readonly scroll: string; readonly last: number } {
  const frames = new Map([["0%", 0]]);
  for (const [n, { at }] of lines.entries()) {
    if (n >= ROWS) frames.set(percent(at), (ROWS - 1 - n) * HEIGHT);
  }
  const last = [...frames.values()].at(-1)!;
  frames.set("100%", last);
  const scroll = [...frames].map(([at, up]) => `${at}{transform:translateY(${up}px)}`).join("");
  return { scroll, last };
}

function drawLine({ text, typedUntil }: Line, n: number): string {
  const y = n * HEIGHT;
  const cover = typedUntil === undefined
    ? ""
    : `<rect id="c${n}" class="c" x="${2 * WIDTH}" y="${y}" width="${
      COLUMNS * WIDTH
    }" height="${HEIGHT}" fill="${BACKGROUND}"/>`;
  return `<g id="l${n}" class="l"><text y="${y + 14}">${spansOf(text).join("")}</text>${cover}</g>`;
}

/** The parts of a line, each in its place: so columns stand under each other in any font. */
function spansOf(text: string): string[] {
  const spans: string[] = [];
  let column = 0;
  let style: Style = {};
  for (const [n, part] of text.split("\x1b[").entries()) {
    const end = n === 0 ? 0 : part.indexOf("m") + 1;
    if (end > 0) style = part.slice(0, end - 1).split(";").reduce(restyle, style);
    // A part of one space and another after it are drawn apart: a space has no place of its own.
    for (const [word] of part.slice(end).matchAll(/\S+(?: \S+)*|\s+/g)) {
      if (word.trim() !== "") spans.push(drawSpan(word, column, style));
      column += [...word].length;
    }
  }
  return spans;
}

interface Style {
  readonly color?: string | undefined;
  readonly isBold?: boolean;
  readonly isDim?: boolean;
}

/** The style after a code of ECMA-48 ("Select Graphic Rendition"). */
function restyle(style: Style, text: string): Style {
  const code = Number(text);
  if (code === 0) return {};
  if (code === 1) return { ...style, isBold: true };
  if (code === 2) return { ...style, isDim: true };
  if (code === 22) return { ...style, isBold: false, isDim: false };
  if (code === 39) return { ...style, color: undefined };
  return { ...style, color: COLORS[code] };
}

function drawSpan(text: string, column: number, { color, isBold, isDim }: Style): string {
  const fill = color ?? (isDim ? COLORS[90] : undefined);
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const attributes = [
    `x="${(column * WIDTH).toFixed(1)}"`,
    `textLength="${([...text].length * WIDTH).toFixed(1)}"`,
    'lengthAdjust="spacingAndGlyphs"',
    ...fill === undefined ? [] : [`style="fill:${fill}"`],
    ...isBold ? ['font-weight="bold"'] : [],
  ];
  return `<tspan ${attributes.join(" ")}>${escaped}</tspan>`;
}
