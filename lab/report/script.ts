/** Shared by scripts of lab/ and bench/: where reports go, and whether a file is the script that was started. */
import { existsSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder of the committed reports. */
export const reportsFolder = fileURLToPath(new URL("../../bench/reports", import.meta.url));

/** True if a module, given by its `import.meta.url`, is the script that Node was asked to run. */
export function isMain(url: string): boolean {
  const [, script] = process.argv;
  return script !== undefined && existsSync(script) && realpathSync(script) === realpathSync(fileURLToPath(url));
}
