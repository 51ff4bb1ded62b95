import { render } from "preact";
import { App } from "./app.tsx";
import { keepFocus } from "./lib/kept_focus.ts";
import { followHistory } from "./lib/place.ts";
import { followPulse, openStudio } from "./lib/pulse.ts";
import { followTheme } from "./lib/theme.ts";
import "./style.css";

followTheme();
followHistory();
keepFocus();
render(<App />, document.getElementById("app")!);
void openStudio();
followPulse();
