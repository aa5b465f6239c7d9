// Where the page begins.
import "./style/base.css";
import "./style/parts.css";
import "./style/pages.css";
import { render } from "preact";
import { App } from "./app.tsx";
import { applyTheme } from "./theme.ts";

applyTheme();
const place = document.getElementById("console");
if (place) {
  place.replaceChildren();
  render(<App />, place);
}
