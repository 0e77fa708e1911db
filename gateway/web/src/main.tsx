import "./style/token.css";
import "./style/base.css";
import "./style/frame.css";
import "./style/line.css";
import "./style/when.css";

import { render } from "preact";

import { App } from "./frame/App";
import { whenReturned } from "./live";
import { check, start } from "./plant";

whenReturned(() => void check());
const root = document.getElementById("app");
if (root !== null) render(<App />, root);
void start();
