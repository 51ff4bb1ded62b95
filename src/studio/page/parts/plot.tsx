import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { theme } from "../lib/theme.ts";
import { localTime } from "../lib/format.ts";
import { useDark } from "../lib/media.ts";
import { useValue } from "../lib/store.ts";
import type { PlotData, Plotted } from "./plot_drawing.ts";

/** A plot over time. Who cannot see it reads the sentence. */
export function Plot(
  { data, unit, sentence, isBars = false, height = 160 }: {
    readonly data: PlotData;
    readonly unit: string;
    readonly sentence: string;
    readonly isBars?: boolean;
    readonly height?: number;
  },
): JSX.Element {
  const element = useRef<HTMLDivElement>(null);
  const plotted = useRef<Plotted | undefined>(undefined);
  const latest = useRef(data);
  latest.current = data;
  const [hasFailed, setHasFailed] = useState(false);
  const chosen = useValue(theme);
  const isDark = useDark();
  useEffect(() => {
    const look = { unit, isBars, height, timeText: localTime };
    let isEnded = false;
    const observer = new ResizeObserver(() => {
      if (element.current) plotted.current?.resize(element.current.clientWidth);
    });
    import("./plot_drawing.ts").then(({ drawPlot }) => {
      if (isEnded || !element.current) return;
      plotted.current = drawPlot(element.current, latest.current, look);
      observer.observe(element.current);
    }, () => setHasFailed(true));
    return () => {
      isEnded = true;
      observer.disconnect();
      plotted.current?.end();
      plotted.current = undefined;
    };
  }, [unit, isBars, height, chosen, isDark]);
  useEffect(() => plotted.current?.draw(data), [data]);
  return (
    <div
      class="plot"
      role="img"
      aria-label={sentence}
      ref={element}
      style={{ minHeight: `${height}px` }}
    >
      {hasFailed && <p class="state">The plot could not be loaded. {sentence}</p>}
    </div>
  );
}
