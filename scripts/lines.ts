/**
 * Lines of src, so that growth is seen: per file, per folder and in total, largest first. `tsx scripts/lines.ts`.
 * A folder's count includes its subfolders.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";

const root = join(import.meta.dirname, "..");

const files = readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
  .map((entry) => join(entry.parentPath, entry.name))
  .map((path) => ({
    path: relative(root, path).split(sep).join("/"),
    lines: readFileSync(path, "utf8").split("\n").length - 1,
  }));

const folders = new Map<string, number>();
for (const { path, lines } of files) {
  for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) {
    folders.set(folder, (folders.get(folder) ?? 0) + lines);
  }
}

const print = (title: string, counts: readonly (readonly [string, number])[]): void => {
  const sorted = counts.toSorted(([a, left], [b, right]) => right - left || a.localeCompare(b));
  console.log([title, ...sorted.map(([path, lines]) => `${String(lines).padStart(7)}  ${path}`), ""].join("\n"));
};

print(
  "Files",
  files.map(({ path, lines }) => [path, lines] as const),
);
print(
  "Folders, subfolders included",
  [...folders].map(([folder, lines]) => [`${folder}/`, lines] as const),
);
console.log(`Total: ${folders.get("src") ?? 0} lines in ${files.length} files`);
