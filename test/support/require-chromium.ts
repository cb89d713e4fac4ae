/** Fails a suite that needs a browser where there is none, before anything starts. */
import { existsSync } from "node:fs";
import { chromiumPath } from "./chromium.js";

export function setup(): void {
  if (!existsSync(chromiumPath)) {
    throw new Error(`${chromiumPath} does not exist: this suite needs Debian's Chromium (apt-get install chromium)`);
  }
}
