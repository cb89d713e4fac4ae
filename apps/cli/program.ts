/**
 * The commander program of all commands. `main` takes arguments and an `Io` and returns an exit status, so that tests
 * run it in process.
 */
import { Command, CommanderError, Option } from "commander";
import { libraryVersion } from "early-exits";
import { type CommandDefinition, type Defaults, describeOption, type OptionDefinition } from "./command.js";
import { calibrateCommand } from "./commands/calibrate.js";
import { certificateCommand } from "./commands/certificate.js";
import { chatCommand } from "./commands/chat.js";
import { demoCommand } from "./commands/demo.js";
import { evalCommand } from "./commands/eval.js";
import { exportCommand } from "./commands/export.js";
import { generateCommand } from "./commands/generate.js";
import { getCommand } from "./commands/get.js";
import { planCommand } from "./commands/plan.js";
import { serveCommand } from "./commands/serve.js";
import { trainCommand } from "./commands/train.js";
import { type ErrorOptions, type ExitCode, exitCodeOf } from "./exit-code.js";
import type { Io } from "./io.js";

/** `argv` is without node and script. */
export async function main(argv: readonly string[], io: Io): Promise<ExitCode> {
  let code: ExitCode = 0;
  const program = createProgram(io, async (command, errors) => {
    code = await exitCodeOf(io, command, errors);
  });
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version are no errors. Any other is a usage error, and commander has printed it.
    return error.exitCode === 0 ? 0 : 2;
  }
  return code;
}

type Runner = (command: () => Promise<unknown>, errors: ErrorOptions) => Promise<void>;

export function createProgram(io: Io, runner: Runner): Command {
  const program = new Command("early-exits")
    .description(
      "Self-supervised early exits for language models: train exit heads on a frozen model, calibrate when they may " +
        "answer, and generate.",
    )
    .version(libraryVersion)
    .showHelpAfterError("(--help shows commands, options and examples)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      getOutHasColors: () => io.color,
      getErrHasColors: () => io.color,
    })
    .addHelpText(
      "after",
      examplesOf([
        "demo",
        'generate sotu-12 --shipped .9 --prompt "The people of the United States"',
        "plan my-model",
        "train my-model --text corpus.txt --out heads",
      ]),
    );
  for (const definition of commands) addCommand(program, definition, io, runner);
  return program;
}

/** Passes options and positional arguments by name. */
function addCommand(program: Command, definition: CommandDefinition, io: Io, runner: Runner): void {
  const { name, description, positional = [], options, defaults, examples, run } = definition;
  const command = program.command(name).description(description);
  for (const argument of positional) command.argument(argument.syntax, argument.description);
  for (const option of options) command.addOption(toCommander(option, defaults));
  command.option("--json", "print one JSON object on stdout");
  command.option("--debug", "print the stack of an error");
  command.addHelpText("after", examplesOf(examples));
  command.action(async () => {
    requireOptions(command, options);
    const given = command.opts<ErrorOptions>();
    const named = command.registeredArguments.map((argument, i) => [argument.name(), command.args[i]]);
    const settings = { ...given, ...(Object.fromEntries(named) as object) };
    const out: unknown = command.getOptionValue("out") ?? NaN;
    if (
      Object.values(settings)
        .flat()
        .filter((value) => value === out).length > 1
    ) {
      command.error("error: --out names what is read, too; name another file");
    }
    await runner(() => run(settings as never, io), given);
  });
}

/**
 * Throws commander's error for a missing required option. Commander itself looks for those before unknown ones, and so
 * would never ask of --promt whether --prompt was meant.
 */
function requireOptions(command: Command, options: readonly OptionDefinition[]): void {
  for (const { flags, required = false } of options) {
    if (!required || command.getOptionValue(new Option(flags).attributeName()) !== undefined) continue;
    command.error(`error: required option '${flags}' not specified`, { code: "commander.missingMandatoryOptionValue" });
  }
}

function toCommander(definition: OptionDefinition, defaults: Defaults): Option {
  const { flags, parse, choices } = definition;
  const option = new Option(flags);
  option.description = describeOption(definition, defaults[option.attributeName()]);
  if (parse !== undefined) option.argParser(parse);
  if (choices !== undefined) option.choices(choices);
  return option;
}

function examplesOf(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ early-exits ${line}`).join("\n")}\n`;
}

/** In the order of the help; each file declares one command and runs it. */
export const commands: readonly CommandDefinition[] = [
  getCommand,
  planCommand,
  trainCommand,
  calibrateCommand,
  evalCommand,
  certificateCommand,
  generateCommand,
  chatCommand,
  serveCommand,
  exportCommand,
  demoCommand,
];
