/**
 * Checks the types of the `ts` blocks of every page, each page as one program; part of `npm run typecheck`. An option
 * that the library no longer has is ignored when a page runs, but not here. Nothing is written: the programs exist only
 * for the compiler.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { blocksOf } from "./pages/blocks.js";
import { pages } from "./pages/pages.js";

const root = fileURLToPath(new URL("..", import.meta.url));
/** The blocks of a page, at the same lines as on the page, so that errors point there. */
function programOf(page: string): string {
  const lines = page.split("\n").map(() => "");
  for (const { language, code, line } of blocksOf(page)) {
    if (language === "ts") {
      code
        .trimEnd()
        .split("\n")
        .forEach((text, i) => (lines[line + i] = text));
    }
  }
  return `${lines.join("\n")}\nexport {};\n`;
}

const programs = new Map(pages.map((path) => [`${root}${path}.ts`, programOf(readFileSync(root + path, "utf8"))]));
const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(`${root}tsconfig.json`, (path) => ts.sys.readFile(path)).config,
  ts.sys,
  root,
);
const settings: ts.CompilerOptions = { ...options, noEmit: true, noUnusedLocals: false };
const host = ts.createCompilerHost(settings);
const readFile = host.readFile.bind(host);
const fileExists = host.fileExists.bind(host);
const getSourceFile = host.getSourceFile.bind(host);
host.readFile = (path) => programs.get(path) ?? readFile(path);
host.fileExists = (path) => programs.has(path) || fileExists(path);
host.getSourceFile = (path, version, ...rest) => {
  const source = programs.get(path);
  return source === undefined ? getSourceFile(path, version, ...rest) : ts.createSourceFile(path, source, version);
};
const program = ts.createProgram([...programs.keys()], settings, host);
const problems = [...programs.keys()].flatMap((path) => {
  const file = program.getSourceFile(path);
  return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
});
for (const { file, start = 0, messageText } of problems) {
  const { line } = file!.getLineAndCharacterOfPosition(start);
  console.error(
    `${file!.fileName.slice(root.length, -3)}:${line + 1}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`,
  );
}
process.exitCode = problems.length > 0 ? 1 : 0;
