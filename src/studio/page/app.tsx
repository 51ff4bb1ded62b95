import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { announcement } from "./lib/announce.ts";
import { isFailure } from "./lib/call.ts";
import { useKeys } from "./lib/keys.ts";
import { currentPlace } from "./lib/place.ts";
import { opened, openStudio } from "./lib/pulse.ts";
import { useValue } from "./lib/store.ts";
import { Boundary } from "./parts/boundary.tsx";
import { Frame } from "./parts/frame.tsx";
import { KeysDialog } from "./parts/keys_dialog.tsx";
import { Failed } from "./parts/states.tsx";
import { View } from "./view.tsx";

export function App(): JSX.Element {
  const [showsKeys, setShowsKeys] = useState(false);
  useKeys(() => setShowsKeys(true));
  const { path } = useValue(currentPlace);
  const studio = useValue(opened);
  const said = useValue(announcement);
  const key = path?.join("/") ?? "";
  useEffect(() => {
    // A view begins at its top; the focus is where a screen reader goes on.
    if (document.activeElement === document.body) document.querySelector("main")?.focus();
  }, [key]);
  return (
    <Boundary part="page" retry={openStudio}>
      <Frame showKeys={() => setShowsKeys(true)}>
        {isFailure(studio)
          ? <Failed failure={studio} retry={openStudio} />
          : (
            <Boundary key={path?.slice(0, 3).join("/")}>
              <View />
            </Boundary>
          )}
      </Frame>
      {showsKeys && <KeysDialog close={() => setShowsKeys(false)} />}
      <p class="said" role="status" aria-live="polite" hidden={said === ""}>{said}</p>
    </Boundary>
  );
}
