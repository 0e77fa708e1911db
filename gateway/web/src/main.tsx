import "./style/token.css";
import "./style/base.css";
import "./style/frame.css";
import "./style/line.css";

import { render } from "preact";

import { App } from "./frame/App";
import { whenRefused } from "./live";
import { start } from "./plant";

whenRefused(() => void start());
const root = document.getElementById("app");
if (root !== null) render(<App />, root);
void start();
