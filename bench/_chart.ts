import {
  CustomChart,
  type CustomSeriesOption,
  LineChart,
  type LineSeriesOption,
} from "echarts/charts";
import {
  GridComponent,
  type GridComponentOption,
  LegendComponent,
  TitleComponent,
  type TitleComponentOption,
} from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import type { Result } from "./_measure.ts";
import { isOurs } from "./_targets.ts";
import { type Peer, type Section, SECTIONS } from "./_workloads.ts";

use([CustomChart, LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const FONT = "system-ui, -apple-system, sans-serif";
const WIDTH = 880;
const HEAD = 118;
const FOOT = 34;
const COLUMNS = 4;
const PANEL = { width: 168, height: 118, gapX: 46, gapY: 92 };

const PAGE = "#ffffff";
const INK = "#1f2328";
const FAINT = "#59636e";
const LINE = "#d1d9e0";

/** What these are where the reader prefers dark pages. The clients' colours do on both. */
const DARK = { [PAGE]: "#0d1117", [INK]: "#f0f6fc", [FAINT]: "#9198a1", [LINE]: "#30363d" };

const CLIENTS: readonly {
  readonly peer: Peer;
  readonly color: string;
  readonly symbol: string;
}[] = [
  { peer: "@messagedb/client", color: "#e8590c", symbol: "circle" },
  { peer: "groupCommit", color: "#f2a50c", symbol: "diamond" },
  { peer: "iterate", color: "#d6336c", symbol: "pin" },
  { peer: "Emmett", color: "#228be6", symbol: "rect" },
  { peer: "postgres.js", color: "#2f9e44", symbol: "triangle" },
  { peer: "pg", color: "#ae5fe0", symbol: "arrow" },
  { peer: "message-db-py", color: "#8a939b", symbol: "roundRect" },
];

const AXES: Readonly<Record<Section, string>> = {
  "Single writes, one category": "in flight",
  "Single writes, a category each": "in flight",
  Batches: "messages in a batch",
  "Streams read": "messages in a stream",
  "Entities fetched": "",
  "A category read": "messages a page",
  "A group, and all under writes": "",
  "Writes by size, 8 in flight": "of data",
  "Reads by size, 100 a page": "of data",
};

/** The ratios as an SVG, on light and dark pages: a panel for each section, near and 1 ms away. */
export function chart(
  { date, machine, results }: {
    readonly date: string;
    readonly machine: string;
    readonly results: readonly Result[];
  },
): string {
  const panels = SECTIONS.flatMap((section) =>
    [false, true].map((delayed) => ({
      section,
      delayed,
      results: results.filter((it) => it.section === section && it.delayed === delayed),
    }))
  ).filter(({ results }) => results.length > 0);
  const rows = Math.ceil(panels.length / COLUMNS);
  const height = HEAD + rows * (PANEL.height + PANEL.gapY) + FOOT;

  const titles: TitleComponentOption[] = [
    title(24, 16, "Messages a second, as a ratio to the dashed line", 17, INK, "bold"),
    title(
      24,
      40,
      "Higher is faster, on a logarithmic scale. The bars are the middle half of the rounds.",
      12,
      FAINT,
    ),
    title(
      24,
      height - 26,
      `npm run bench, ${date}: ${machine.replace(/, load average.*/, "")}`,
      10,
      FAINT,
    ),
  ];
  const grid: GridComponentOption[] = [];
  const xAxis: object[] = [];
  const yAxis: object[] = [];
  const series: (LineSeriesOption | CustomSeriesOption)[] = [];
  for (const [at, { section, delayed, results }] of panels.entries()) {
    const left = 50 + at % COLUMNS * (PANEL.width + PANEL.gapX);
    const top = HEAD + Math.floor(at / COLUMNS) * (PANEL.height + PANEL.gapY) + 36;
    const pair = panels.filter((panel) => panel.section === section);
    const base = results[0]!.ways[0]!;
    titles.push(
      title(left - 30, top - 46, section, 12, INK, "bold"),
      title(left - 30, top - 30, `${delayed ? "1 ms away, " : ""}1 = ${base.title}`, 11, FAINT),
    );
    grid.push({ left, top, width: PANEL.width, height: PANEL.height });
    xAxis.push({
      type: "category",
      gridIndex: at,
      data: results.map(({ label }) => shorten(label)),
      name: AXES[section],
      nameLocation: "middle",
      nameGap: 24,
      nameTextStyle: { color: FAINT, fontSize: 10 },
      axisLabel: { color: FAINT, fontSize: 10, interval: 0 },
      axisLine: { onZero: false, lineStyle: { color: LINE } },
      axisTick: { show: false },
    });
    const [min, max] = rangeOf(pair.flatMap(({ results }) => results));
    yAxis.push({
      type: "log",
      gridIndex: at,
      min,
      max,
      axisLabel: { color: FAINT, fontSize: 10, formatter: String },
      splitLine: { lineStyle: { color: LINE } },
    });
    series.push({
      type: "line",
      xAxisIndex: at,
      yAxisIndex: at,
      silent: true,
      symbol: "none",
      lineStyle: { color: INK, width: 1, type: "dashed" },
      data: results.map(() => 1),
    });
    for (const client of CLIENTS) {
      series.push(...seriesOf(client, results, at, AXES[section] !== ""));
    }
  }

  const drawing = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  drawing.setOption({
    animation: false,
    backgroundColor: PAGE,
    textStyle: { fontFamily: FONT },
    title: titles,
    legend: {
      left: 20,
      top: 62,
      itemGap: 18,
      itemHeight: 9,
      textStyle: { color: INK, fontSize: 12 },
      data: CLIENTS.map(({ peer }) => peer)
        .filter((peer) => results.some(({ ways }) => ways.some((way) => way.peer === peer))),
    },
    grid,
    xAxis,
    yAxis,
    series,
  });
  const svg = drawing.renderToSVGString().replaceAll(`font-family:${FONT};`, "");
  drawing.dispose();
  const rules = Object.entries(DARK).flatMap(([light, dark]) =>
    ["fill", "stroke"].map((property) => `[${property}="${light}"]{${property}:${dark}}`)
  );
  const style = `<style>text{font-family:${FONT}}@media (prefers-color-scheme:dark){${
    rules.join("")
  }}</style>`;
  return `${svg.replace(/^<svg[^>]*>/, (tag) => `${tag}${style}`)}\n`;
}

function title(
  left: number,
  top: number,
  text: string,
  fontSize: number,
  color: string,
  fontWeight: "normal" | "bold" = "normal",
): TitleComponentOption {
  return { left, top, text, padding: 0, textStyle: { fontSize, color, fontWeight } };
}

/** A line through what is measured of a client, and a bar for the spread of each. */
function seriesOf(
  { peer, color, symbol }: typeof CLIENTS[number],
  results: readonly Result[],
  at: number,
  areJoined: boolean,
): (LineSeriesOption | CustomSeriesOption)[] {
  const ratios = results.map(({ ways }) => ways.find((way) => way.peer === peer)?.ratio);
  if (ratios.every((ratio) => !ratio)) return [];
  const axes = { xAxisIndex: at, yAxisIndex: at, silent: true };
  return [
    {
      ...axes,
      type: "line",
      name: peer,
      symbol,
      symbolSize: isOurs(peer) ? 7 : 6,
      z: isOurs(peer) ? 4 : 3,
      color,
      lineStyle: { color, width: areJoined ? (isOurs(peer) ? 2.5 : 1.5) : 0 },
      data: ratios.map((ratio) => ratio?.median ?? null),
    },
    {
      ...axes,
      type: "custom",
      data: ratios.flatMap((ratio, index) => ratio ? [[index, ratio.low, ratio.high]] : []),
      renderItem: (_, api) => {
        const [x, y1] = api.coord([api.value(0), api.value(1)]);
        const [, y2] = api.coord([api.value(0), api.value(2)]);
        const shape = { x1: x!, y1: y1!, x2: x!, y2: y2! };
        return { type: "line", shape, style: { stroke: color, lineWidth: 1.5, opacity: 0.6 } };
      },
    },
  ];
}

/** Around all of them and 1, by steps of 1, 2 and 5. */
function rangeOf(results: readonly Result[]): [number, number] {
  const drawn = new Set(CLIENTS.map(({ peer }) => peer));
  const ratios = results.flatMap(({ ways }) => ways)
    .filter(({ peer }) => drawn.has(peer))
    .flatMap(({ ratio }) => [ratio.low, ratio.high]);
  const steps = [-3, -2, -1, 0, 1, 2].flatMap((power) => [1, 2, 5].map((it) => it * 10 ** power));
  const min = steps.findLast((step) => step <= Math.min(0.5, ...ratios)) ?? 0.001;
  const max = steps.find((step) => step >= Math.max(2, ...ratios)) ?? 500;
  return [Number(min.toPrecision(1)), max];
}

function shorten(label: string): string {
  return label.replace(/^of | in flight$| a page$/g, "").replace(/,000\b/, "k");
}
