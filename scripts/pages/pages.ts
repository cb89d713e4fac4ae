/** Pages: the README, docs/, and what stands beside apps, examples and layers. Reports and the changelog are none. */
import { execFileSync } from "node:child_process";

export const pages = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.md"], { encoding: "utf8" })
  .trim()
  .split("\n")
  .filter((path) => !/^(bench\/reports\/|CHANGELOG)/.test(path));
