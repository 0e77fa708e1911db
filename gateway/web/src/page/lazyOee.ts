/** The OEE panel, fetched when the first page shows it. */

import { lazy } from "../frame/lazy";

export const OeePanel = lazy(() => import("../oee/OeePanel").then((m) => m.OeePanel));
