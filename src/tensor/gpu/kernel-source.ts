/**
 * The form of a gpu.js kernel: a JavaScript function that gpu.js translates to WGSL, GLSL, WebAssembly or plain
 * JavaScript. One call computes one element of the output, named by `this.thread`.
 *
 * Kernels are text, because a function's own text does not survive every tool: bundlers join statements with commas and
 * esbuild's `keepNames` wraps inner functions, both of which gpu.js refuses, and test runners rewrite imported names.
 *
 * Every array is flat, and every size is an argument. So one compiled program serves all shapes: decoding never
 * compiles twice, no stale constant can be baked in, and an element is computed by the same instructions however many
 * rows there are. In a body, COLUMN and ROW name the element; a "vector" kernel has only COLUMN. What gpu.js 2.24.1
 * asks of a body:
 * - A declared variable is a float, exact below 2^24 only. Indices of arrays that may be larger are therefore written
 *   out in integers: COLUMN, ROW, integer arguments, loop counters, and `| 0` of a float.
 * - One `return`, at the end: WebGL continues after an early one. No two loops of a kernel share a counter's name.
 * - Loops run to an integer argument or a literal. Math.max takes two arguments. No Math.tanh (NaN above 44), no
 *   -Infinity.
 */

type ParameterType = "array" | "integer" | "float";

export interface KernelSource<P extends string = string> {
  readonly name: string;
  readonly parameters: Readonly<Record<P, ParameterType>>;
  readonly shape: "vector" | "matrix";
  readonly body: string;
}

/** The names of "array x y, integer width". */
export type NamesIn<Text extends string> = Text extends `${infer Group}, ${infer Rest}`
  ? NamesIn<Group> | NamesIn<Rest>
  : Text extends `${ParameterType} ${infer Names}`
    ? WordsIn<Names>
    : never;
type WordsIn<Text extends string> = Text extends `${infer Word} ${infer Rest}` ? Word | WordsIn<Rest> : Text;

/** All that were made, for the test of the rules above. */
export const madeKernels: KernelSource[] = [];

/** `parameters` in groups of one type: "array x y, integer width". */
export function vectorKernel<T extends string>(name: string, parameters: T, body: string): KernelSource<NamesIn<T>> {
  return kernel(name, "vector", parameters, body);
}

export function matrixKernel<T extends string>(name: string, parameters: T, body: string): KernelSource<NamesIn<T>> {
  return kernel(name, "matrix", parameters, body);
}

function kernel(name: string, shape: KernelSource["shape"], groups: string, body: string): KernelSource {
  const parameters: Record<string, ParameterType> = {};
  for (const group of groups.split(", ")) {
    const [type, ...names] = group.split(" ");
    for (const parameter of names) parameters[parameter] = type as ParameterType;
  }
  const source = { name, parameters, shape, body };
  madeKernels.push(source);
  return source;
}

/**
 * The function's text. On WebGL rows lie along the third axis (see gpujs.ts), and `| 0` is left out: gpu.js moves an
 * index read from an array into a float variable, whatever its type. Arrays there have at most 2^24 elements, so floats
 * are exact.
 */
export function functionText({ name, parameters, body }: KernelSource, { webgl }: { readonly webgl: boolean }): string {
  const typed = webgl ? body.replaceAll(" | 0)", ")") : body;
  const text = typed
    .replaceAll(/\bROW\b/g, `this.thread.${webgl ? "z" : "y"}`)
    .replaceAll(/\bCOLUMN\b/g, "this.thread.x");
  return `function ${name}(${Object.keys(parameters).join(", ")}) {${text}}`;
}
