/** Who may tell the twin about stops and products. */

import { session } from "../plant";

export function mayTell(): boolean {
  return session.value.state === "in" && session.value.person.rights.includes("operator");
}
