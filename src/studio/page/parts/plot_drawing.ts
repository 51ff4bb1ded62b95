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
  /** A time as the page writes it, of an ISO time. */
  readonly timeText: (time: string) => string;
}

/** So many seconds are shown at least. */
const SHORTEST = 60;

/** Draws a plot into an element, in the colors of the theme. */
export function drawPlot(element: HTMLElement, data: PlotData, look: PlotLook): Plotted {
  const color = (name: string) => {
    // A canvas does not know light-dark(): the style of an element is resolved.
    element.style.color = `var(${name})`;
    return getComputedStyle(element).color;
  };
  const axis = {
    stroke: color("--muted"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
  };
  const textOf = (seconds: number) =>
    look.timeText(new Date(seconds * 1000).toISOString()).slice(0, 19);
  const bars = uPlot.paths.bars!({ size: [0.8, 24], align: 1 });
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height: look.height,
      padding: [8, 28, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      legend: { show: true, live: true },
      axes: [{
        ...axis,
        grid: { show: false },
        values: (_, splits, __, ___, step) => axisTexts(splits.map(textOf), step),
      }, {
        ...axis,
        size: 56,
        splits: (_, __, min, max) => splitsOf(min, max),
        values: (_, values) => values.map((it) => it.toLocaleString("en")),
      }],
      scales: {
        // A bar reaches from its time to the next one.
        x: { range: (plot, min, max) => [min, look.isBars ? max + stepOf(plot.data[0]) : max] },
        y: { range: (_, __, max) => [0, Math.max(max * 1.08, 1)] },
      },
      series: [{ label: "time", value: (_, seconds) => seconds === null ? "–" : textOf(seconds) }, {
        label: look.unit,
        stroke: color("--accent"),
        width: look.isBars ? 0 : 1.5,
        fill: look.isBars ? color("--accent") : color("--accent-faint"),
        // A line of one value is a point.
        points: { show: (plot) => !look.isBars && plot.data[1]![0] === null },
        ...(look.isBars && { paths: bars }),
        value: (_: uPlot, value: number | null) =>
          value === null ? "–" : value.toLocaleString("en"),
      }],
    },
    asColumns(data),
    element,
  );
  element.style.color = "";
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

function stepOf(times: ArrayLike<number>): number {
  return times.length < 2 ? 0 : times[1]! - times[0]!;
}

/** The texts of the time axis: of a day where it begins, else of the time of the day. */
function axisTexts(times: readonly string[], step: number): string[] {
  return times.map((text, at) => {
    const day = text.slice(5, 10);
    if (step >= 86_400) return day;
    const time = text.slice(11, step < 60 ? 19 : 16);
    return at === 0 || times[at - 1]!.slice(5, 10) !== day ? `${time}\n${day}` : time;
  });
}

/** The columns that uPlot takes: two times at least, or it would not know how much time to show. */
function asColumns({ times, values }: PlotData): uPlot.AlignedData {
  if (times.length > 1) return [[...times], [...values]];
  const last = times[0] ?? Date.now() / 1000;
  return [[last - SHORTEST, last], [null, values[0] ?? null]];
}
