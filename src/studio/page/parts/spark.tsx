import type { JSX } from "preact";

const WIDTH = 72;
const HEIGHT = 16;

/** A line of values, the last one at the right. */
export function Spark({ values }: { readonly values: readonly number[] }): JSX.Element {
  const most = Math.max(...values, 1);
  const step = WIDTH / Math.max(values.length - 1, 1);
  const points = values.map((value, at) =>
    `${(at * step).toFixed(1)},${(HEIGHT - 1 - (value / most) * (HEIGHT - 2)).toFixed(1)}`
  );
  return (
    <svg class="spark" width={WIDTH} height={HEIGHT} aria-hidden="true">
      {values.length > 1 && <polyline points={points.join(" ")} />}
    </svg>
  );
}
