/**
 * Runs a Jinja template as transformers does: blocks are trimmed (`trim_blocks`, `lstrip_blocks`), and a template may
 * call `raise_exception`, `range`, `namespace` and, if a date is given, `strftime_now`. The engine is
 * `@huggingface/jinja`, imported for the first conversation; its `Template` class reads the clock, so its parts are
 * used directly. Left out: what the `generation` block marks for training.
 */
import { TemplateError } from "../../errors.js";

/** Its own declarations do not resolve under NodeNext. */
interface Jinja {
  tokenize(source: string, options: { readonly trim_blocks: boolean; readonly lstrip_blocks: boolean }): unknown;
  parse(tokens: unknown): unknown;
  readonly Environment: new () => { set(name: string, value: unknown): unknown };
  readonly Interpreter: new (environment: object) => Interpreter;
}

interface Interpreter {
  run(program: unknown): { readonly value: string };
  evaluate(statement: unknown, environment: unknown): { readonly value?: unknown } | undefined;
  evaluateBlock(statements: unknown, environment: unknown): { readonly value?: unknown };
}

/** Longer lists can only be a mistake or an attack. */
const LONGEST_RANGE = 100_000;
/** Expressions evaluated; a block counts as 32, because each turn of a loop has variables of its own. */
const MOST_STEPS = 2 ** 20;
const BLOCK_STEPS = 32;
/** Characters of a template: the engine takes them one by one. Published ones have 20,000 at most. */
const LONGEST_TEMPLATE = 2 ** 18;
/** Characters. */
const LONGEST_TEXT = 2 ** 24;
/** Items. */
const LONGEST_LIST = 2 ** 20;

interface TemplateRun {
  readonly variables: Readonly<Record<string, unknown>>;
  /** Date of `strftime_now`, which is undefined without it. */
  readonly date?: Date | undefined;
}

/**
 * Dates for chat templates: the directives of C's strftime that occur there, in local time and with English names, as
 * transformers writes them. An unknown directive stays as it is.
 */
const directives: Readonly<Record<string, Intl.DateTimeFormatOptions>> = {
  Y: { year: "numeric" },
  y: { year: "2-digit" },
  m: { month: "2-digit" },
  B: { month: "long" },
  b: { month: "short" },
  d: { day: "2-digit" },
  A: { weekday: "long" },
  a: { weekday: "short" },
  H: { hour: "2-digit", hourCycle: "h23" },
  I: { hour: "2-digit", hourCycle: "h12" },
  M: { minute: "2-digit" },
  S: { second: "2-digit" },
  p: { hour: "2-digit", hourCycle: "h12" },
};

/** Formats a date: `formatDate(date, "%d %b %Y")` is "26 Jul 2024". */
function formatDate(date: Date, format: string): string {
  return format.replace(/%([a-zA-Z%])/g, (directive, letter: string) => {
    const options = directives[letter];
    if (options === undefined) return letter === "%" ? letter : directive;
    const parts = new Intl.DateTimeFormat("en-US", options).formatToParts(date);
    return parts.find(({ type }) => (type === "dayPeriod") === (letter === "p"))!.value.padStart(2, "0");
  });
}

/** Throws a TemplateError that quotes the template's or the engine's message. */
export async function runTemplate(source: string, { variables, date }: TemplateRun): Promise<string> {
  if (source.length > LONGEST_TEMPLATE) throw unbounded(`has ${source.length} characters, above ${LONGEST_TEMPLATE}`);
  const jinja = (await import("@huggingface/jinja")) as unknown as Jinja;
  const program = parseTemplate(jinja, source);
  const environment = new jinja.Environment();
  const clock = date === undefined ? {} : { strftime_now: (format: unknown) => formatDate(date, String(format)) };
  for (const [name, value] of Object.entries({ ...constants, ...functions, ...clock, ...variables })) {
    environment.set(name, value);
  }
  try {
    return new (boundedInterpreter(jinja))(environment).run(program).value;
  } catch (error) {
    if (error instanceof TemplateError) throw error;
    throw failure(error, source, date);
  }
}

/** Refuses templates that run for long (loops in loops) or fill the memory (values that double). */
function boundedInterpreter({ Interpreter }: Jinja): Jinja["Interpreter"] {
  let steps = 0;
  const count = (more: number): void => {
    steps += more;
    if (steps > MOST_STEPS) throw unbounded(`takes more than ${MOST_STEPS} steps`);
  };
  return class extends Interpreter {
    override evaluate(statement: unknown, environment: unknown) {
      count(1);
      const result = super.evaluate(statement, environment);
      const value = result?.value;
      if (typeof value === "string" && value.length > LONGEST_TEXT) {
        throw unbounded(`makes a text of more than ${LONGEST_TEXT} characters`);
      }
      if (Array.isArray(value) && value.length > LONGEST_LIST) {
        throw unbounded(`makes a list of more than ${LONGEST_LIST} items`);
      }
      return result;
    }

    override evaluateBlock(statements: unknown, environment: unknown) {
      count(BLOCK_STEPS);
      return super.evaluateBlock(statements, environment);
    }
  };
}

function unbounded(what: string): TemplateError {
  return new TemplateError(
    "template-failed",
    `chat template: for this conversation it ${what}; no published template comes near, so give another template`,
  );
}

/** Jinja accepts these in title case too. */
const constants = { true: true, false: false, none: null, True: true, False: false, None: null };

const functions = {
  raise_exception: (message: unknown): never => {
    throw new TemplateError(
      "template-refused",
      `chat template: it refuses this conversation with the message ${JSON.stringify(message)}; change the messages`,
      { message },
    );
  },
  range,
};

function range(first: number, second?: number, step = 1): number[] {
  const [start, end] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((end - start) / step));
  if (!(length <= LONGEST_RANGE)) {
    throw new TemplateError(
      "template-failed",
      `chat template: range(${start}, ${end}, ${step}) is not a list of at most ${LONGEST_RANGE} numbers`,
    );
  }
  return Array.from({ length }, (_, i) => start + i * step);
}

function parseTemplate(jinja: Jinja, source: string): unknown {
  try {
    return jinja.parse(jinja.tokenize(source, { trim_blocks: true, lstrip_blocks: true }));
  } catch (error) {
    throw new TemplateError(
      "template-syntax",
      `chat template: it is not a Jinja template that can be read: ${messageOf(error)}`,
      { template: source },
      { cause: error },
    );
  }
}

function failure(error: unknown, source: string, date: Date | undefined): TemplateError {
  const advice = date === undefined && source.includes("strftime_now") ? "; it uses strftime_now: pass a date" : "";
  return new TemplateError(
    "template-failed",
    `chat template: it failed while it was rendered: ${messageOf(error)}${advice}`,
    { template: source },
    { cause: error },
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
