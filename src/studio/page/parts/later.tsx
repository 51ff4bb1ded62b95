import type { ComponentType, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ViewHead } from "./head.tsx";
import { Empty, Loading } from "./states.tsx";

/** A view whose script is loaded when it is shown for the first time. */
export function later<Props extends object>(
  load: () => Promise<ComponentType<Props>>,
): (props: Props) => JSX.Element {
  let View: ComponentType<Props> | undefined;
  return (props) => {
    const [, setIsLoaded] = useState(false);
    const [hasFailed, setHasFailed] = useState(false);
    useEffect(() => {
      // It may have come since this was drawn.
      if (View !== undefined) return setIsLoaded(true);
      load().then((loaded) => {
        View = loaded;
        setIsLoaded(true);
      }, () => setHasFailed(true));
    }, []);
    if (View !== undefined) return <View {...props} />;
    return hasFailed
      ? (
        <div class="page" role="alert">
          <ViewHead title="Not loaded" />
          <Empty>This view could not be loaded. Load the page again.</Empty>
        </div>
      )
      : <Loading />;
  };
}
