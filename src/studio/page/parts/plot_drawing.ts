/** What needs uPlot: a file of its own, which only the views with a plot load. */
import uPlot from "uplot";

/** What a plot shows: times in seconds, and a value for each. */
export interface PlotData {
  readonly times: readonly number[];
  readonly values: readonly (number | null)[];
}

export interface Plotted {
  readonly draw: (data: PlotData) => void;
  readonly resize: (width: number) => void;
  readonly end: () => void;
}

export interface PlotLook {
  /** What a value is: "messages". */
  readonly unit: string;
  readonly isBars: boolean;
  readonly height: number;
}

/** So many seconds are shown at least. */
const SHORTEST = 60;

/** Draws a plot into an element, in the colors of the theme. */
export function drawPlot(element: HTMLElement, data: PlotData, look: PlotLook): Plotted {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color("--muted"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
  };
  const bars = uPlot.paths.bars!({ size: [0.8, 24], align: 1 });
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height: look.height,
      padding: [8, 8, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      legend: { show: true, live: true },
      axes: [{ ...axis, grid: { show: false } }, {
        ...axis,
        size: 56,
        splits: (_, __, min, max) => splitsOf(min, max),
        values: (_, values) => values.map((it) => it.toLocaleString("en")),
      }],
      scales: {
        x: { range: (_, min, max) => [Math.min(min, max - SHORTEST), max] },
        y: { range: (_, __, max) => [0, Math.max(max * 1.08, 1)] },
      },
      series: [{ label: "time", value: timeValue }, {
        label: look.unit,
        stroke: color("--accent"),
        width: look.isBars ? 0 : 1.5,
        fill: look.isBars ? color("--accent") : color("--accent-faint"),
        points: { show: false },
        ...(look.isBars && { paths: bars }),
        value: (_: uPlot, value: number | null) =>
          value === null ? "–" : value.toLocaleString("en"),
      }],
    },
    asColumns(data),
    element,
  );
  return {
    draw: (data) => plot.setData(asColumns(data)),
    resize: (width) => plot.setSize({ width, height: look.height }),
    end: () => plot.destroy(),
  };
}

/** Whole numbers, four or so of them. */
function splitsOf(min: number, max: number): number[] {
  const rough = Math.max((max - min) / 4, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((it) => it * power).find((it) => it >= rough)!;
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, at) => at * step);
}

function timeValue(_: uPlot, seconds: number | null): string {
  if (seconds === null) return "–";
  return new Date(seconds * 1000).toLocaleString("sv");
}

function asColumns({ times, values }: PlotData): uPlot.AlignedData {
  return [[...times], [...values]];
}
