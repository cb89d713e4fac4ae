/**
 * The laws as a text: what each file of test/laws says at its top, then the titles of its tests, which are sentences.
 * Nothing is run.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

/** A law, or what some laws have in common (then it has a smaller `level`). */
interface Sentence {
  readonly level: number;
  readonly text: string;
}

interface ExplainedFile {
  readonly file: string;
  /** The comment at its top. */
  readonly about: string;
  readonly sentences: readonly Sentence[];
}

/** Explains the files of laws in a folder, in the order of their names. */
export function explainLaws(folder: string): ExplainedFile[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".test.ts"));
  return names.toSorted().map((name) => explainFile(name, readFileSync(join(folder, name), "utf8")));
}

function explainFile(file: string, code: string): ExplainedFile {
  const source = ts.createSourceFile(file, code, ts.ScriptTarget.ESNext, true);
  const comment = /^\/\*\*([\s\S]*?)\*\//.exec(code)?.[1] ?? "";
  const sentences: Sentence[] = [];
  const visit = (node: ts.Node, level: number): void => {
    const text = ts.isCallExpression(node) ? titleOf(node) : undefined;
    if (text !== undefined) sentences.push({ level, text });
    ts.forEachChild(node, (child) => {
      visit(child, text === undefined ? level : level + 1);
    });
  };
  visit(source, 0);
  const about = comment.replace(/^ ?\*? ?/gm, "").trim();
  return { file, about, sentences };
}

/** The title of `describe`, `it` or `it.for(cases)`; undefined for other calls. */
function titleOf(call: ts.CallExpression): string | undefined {
  const called = ts.isCallExpression(call.expression) ? call.expression.expression : call.expression;
  const name = /^(describe|it|test)\b/.exec(called.getText())?.[1];
  const title = call.arguments[0];
  return name === undefined || title === undefined ? undefined : stringOf(title);
}

/** The text of a literal, or of literals that are joined; a value that only a run would show is "…". */
function stringOf(node: ts.Expression): string | undefined {
  if (ts.isStringLiteralLike(node)) return node.text.replace(/%[a-z]|\$\w+/g, "…");
  if (ts.isTemplateExpression(node)) {
    return node.templateSpans.reduce((text, { literal }) => `${text}…${literal.text}`, node.head.text);
  }
  if (!ts.isBinaryExpression(node)) return undefined;
  const [left, right] = [stringOf(node.left), stringOf(node.right)];
  return left === undefined || right === undefined ? undefined : left + right;
}

/** The files as lines of text. */
export function explainedLines(files: readonly ExplainedFile[]): string[] {
  return files.flatMap(({ file, about, sentences }) => [
    `test/laws/${file}`,
    about,
    ...sentences.map(({ level, text }) => `${"  ".repeat(level + 1)}- ${text}`),
    "",
  ]);
}
