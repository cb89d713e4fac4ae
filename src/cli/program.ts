/**
 * The command line: names, options, help with examples, and which `run` each command calls. `main` takes arguments and
 * an `Io` and returns an exit status, so that tests run it in process.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { fillNames, headKinds, libraryVersion, scoreNames } from "../index.js";
import { weightDtypes } from "../tensor/index.js";
import { recipeNames } from "../model/index.js";
import { planFills, projectionInputs } from "../exits/index.js";
import { taskKinds } from "../evaluate/index.js";
import {
  calibrate,
  checkLossless,
  demo,
  evaluate,
  generate,
  inspect,
  plan,
  pretrain,
  pretrainDefaults,
  report,
  train,
  tune,
  verify,
} from "./commands/index.js";
import { type ErrorOptions, type ExitCode, exitCodeOf } from "./exit-code.js";
import type { Io } from "./io.js";

/** Runs a command line (without node and script). */
export async function main(argv: readonly string[], io: Io): Promise<ExitCode> {
  let code: ExitCode = 0;
  const program = createProgram(io, async (command, errors) => {
    code = await exitCodeOf(io, command, errors);
  });
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version are no errors; everything else commander says is about usage, and it has said it.
    return error.exitCode === 0 ? 0 : 2;
  }
  return code;
}

type Runner = (command: () => Promise<unknown>, errors: ErrorOptions) => Promise<void>;

/** All commands; `runner` is handed the one that a command line asks for. */
export function createProgram(io: Io, runner: Runner): Command {
  const program = new Command("early-exits")
    .description(
      "Self-supervised early exits for language models: train exit heads on a frozen model, calibrate when " +
        "they may answer, generate.",
    )
    .version(libraryVersion)
    .showHelpAfterError("(--help shows the options)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      getOutHasColors: () => io.color,
      getErrHasColors: () => io.color,
    })
    .addHelpText(
      "after",
      examples(
        "early-exits demo",
        "early-exits inspect path/to/hf-folder",
        "early-exits train path/to/hf-folder --text corpus.txt --out heads",
      ),
    );

  /**
   * A command with the options that all of them share. `run` gets the options, and the positional arguments by their
   * names.
   */
  const command = (
    name: string,
    description: string,
    run: (options: never, io: Io) => Promise<unknown>,
    { dir = false, device = true, dtype = false, positional = [] as readonly string[] } = {},
  ): Command => {
    const named = dir ? ["dir"] : positional;
    const created = program.command(name).description(description);
    if (dir) {
      created.argument("<dir>", "model folder in Hugging Face layout (config.json, *.safetensors, tokenizer.json)");
    }
    if (device) created.option("--device <name>", "where to compute; auto chooses (default: auto)");
    if (dtype) {
      created.addOption(
        new Option("--dtype <dtype>", "how weight matrices are stored (default: float32)").choices(weightDtypes),
      );
    }
    created.option("--json", "print one JSON object on stdout").option("--debug", "print the stack of an error");
    created.action(async (...args: unknown[]) => {
      const options = created.opts<ErrorOptions>();
      await runner(
        () => run({ ...options, ...Object.fromEntries(named.map((argument, i) => [argument, args[i]])) } as never, io),
        options,
      );
    });
    return created;
  };

  command("inspect", "Architecture, size, tokenizer, possible exits and what a head costs; reads no weights", inspect, {
    dir: true,
    device: false,
  }).addHelpText(
    "after",
    examples("early-exits inspect models/sotu-12", "early-exits inspect path/to/pythia-70m --json"),
  );

  command(
    "plan",
    "Whether exits can pay for a model, before any training; with heads and text, as measured on this machine",
    plan,
    { dir: true, dtype: true },
  )
    .addOption(new Option("--fill <how>", "keys and values of skipped blocks (default: project)").choices(planFills))
    .option("--heads <folder>", "heads made by train: measure blocks, heads and fills here")
    .option("--text <file>", "text that the heads were not trained on: how often they would leave")
    .option(
      "--agreement <share>",
      "with --text: share of tokens that should be the full model's (default: 0.95)",
      number(0, 1, { open: true }),
    )
    .option("--documents <n>", "use at most this many documents", integer(1))
    .addHelpText(
      "after",
      examples("early-exits plan path/to/pythia-70m", "early-exits plan my-model --heads heads --text held.txt"),
    );

  const {
    layers,
    hidden,
    heads,
    kvHeads,
    kvShared,
    intermediate,
    context,
    vocab,
    steps,
    batch,
    sequence,
    lr,
    recipe,
    seed,
  } = pretrainDefaults;
  command("pretrain", "Train a small llama-style model from scratch and write a Hugging Face folder", pretrain)
    .requiredOption(
      "--text <file>",
      'training text: .txt (blank lines separate documents) or .jsonl with a "text" field',
    )
    .requiredOption("--out <folder>", "where to write the model")
    .option("--tokenizer <file>", "tokenizer.json to use; otherwise a byte-level BPE is trained on the text")
    .option("--layers <n>", `blocks (default: ${layers})`, integer(1))
    .option("--hidden <n>", `hidden size (default: ${hidden})`, integer(1))
    .option("--heads <n>", `attention heads (default: ${heads})`, integer(1))
    .option("--kv-heads <n>", `key/value heads (default: ${kvHeads})`, integer(1))
    .option(
      "--kv-shared <n>",
      `last blocks that attend to the keys and values of the block before them all (default: ${kvShared})`,
      integer(0),
    )
    .option("--intermediate <n>", `inner size of the MLP (default: ${intermediate})`, integer(1))
    .option("--context <n>", `context limit (default: ${context})`, integer(2))
    .option("--vocab <n>", `entries of the tokenizer (default: ${vocab})`, integer(257))
    .option("--steps <n>", `training steps (default: ${steps})`, integer(1))
    .option("--batch <n>", `windows per step (default: ${batch})`, integer(1))
    .option("--sequence <n>", `tokens per window (default: ${sequence}, or the context)`, integer(1))
    .option("--lr <rate>", `peak learning rate (default: ${lr})`, number(0, 1))
    .addOption(
      new Option(
        "--recipe <name>",
        `what is added to plain training to make early exits pay (default: ${recipe})`,
      ).choices(recipeNames),
    )
    .option("--validate-every <n>", "steps between validation losses", integer(1))
    .option("--seed <n>", `(default: ${seed})`, integer(0))
    .option("--resume", "continue from OUT/checkpoint, bit for bit")
    .addHelpText(
      "after",
      examples(
        "early-exits pretrain --text book.txt --out my-model --steps 500",
        "early-exits pretrain --text book.txt --out my-model --resume",
      ),
    );

  command("train", "Train exit heads; the model stays frozen", train, { dir: true, dtype: true })
    .requiredOption("--out <folder>", "where to write the heads")
    .option("--text <file>", "training text; no labels are needed")
    .option("--self <n>", "train on this many documents sampled from the model itself instead of text", integer(1))
    .option("--exits <n|list>", "how many exits, or their depths as in 2,4,6 (default: 3)", exits)
    .addOption(new Option("--placement <rule>", "where a number of exits goes (default: v2)").choices(["v1", "v2"]))
    .addOption(new Option("--kind <kind>", "kind of head (default: dense)").choices(headKinds))
    .option("--inner <n>", "inner size of lowRank and mlp heads, tokens of shortlist heads", integer(1))
    .option("--steps <n>", "training steps (default: 500)", integer(1))
    .option("--batch <n>", "windows per step (default: 8)", integer(1))
    .option("--sequence <n>", "tokens per window (default: 128, or the context)", integer(2))
    .option("--lr <rate>", "peak learning rate (default: 0.001)", number(0, 1))
    .addOption(
      new Option("--loss <loss>", "kl (v2) or penalized cross-entropy (v1) (default: kl)").choices(["kl", "penalized"]),
    )
    .option(
      "--temperature <t>",
      "kl: softens both distributions; below 1 it stresses the best token (default: 1)",
      number(0, 1e6),
    )
    .option("--top-k <k>", "kl: only the model's k most likely tokens; 0 for all (default: 0)", integer(0))
    .option("--weight <w>", "penalized: weight of the entropy (default: 0.9)", number(0, 1))
    .addOption(
      new Option(
        "--project <input>",
        "also fit keys and values of skipped blocks (calibrate --fill project) from the normalised exit state, " +
          "or from both it and the raw one",
      ).choices(projectionInputs),
    )
    .option(
      "--gate <steps>",
      "then train gates for so many steps, for calibrate --score gate: small networks that say beforehand " +
        "whether a head agrees",
      integer(1),
    )
    .addOption(
      new Option("--head-dtype <dtype>", "how the heads' own matrices are stored (default: as the model's)").choices(
        weightDtypes,
      ),
    )
    .option("--cache <folder>", "record hidden states there once and train from them")
    .option("--resume", "continue from OUT/checkpoint, bit for bit")
    .option("--seed <n>", "(default: 0)", integer(0))
    .addHelpText(
      "after",
      examples(
        "early-exits train my-model --text corpus.txt --out heads",
        "early-exits train my-model --text corpus.jsonl --exits 2,4 --kind tied --out heads",
        "early-exits train my-model --self 64 --out heads",
      ),
    );

  command(
    "calibrate",
    "Choose thresholds on held-out text, certified to keep an agreement with the full model",
    calibrate,
    { dir: true, dtype: true },
  )
    .requiredOption("--heads <folder>", "heads made by train")
    .requiredOption("--text <file>", "text that the heads were not trained on")
    .option(
      "--agreement <share>",
      "share of tokens that should be the full model's (default: 0.95)",
      number(0, 1, { open: true }),
    )
    .option("--delta <share>", "chance that the certificate is wrong (default: 0.05)", number(0, 1, { open: true }))
    .addOption(
      new Option(
        "--claim <claim>",
        "what is certified: all tokens, those that leave at each exit, or whole documents (default: overall)",
      ).choices(["overall", "selective", "any-change"]),
    )
    .addOption(
      new Option(
        "--unit <unit>",
        "what is taken as independent; tokens with --claim selective only (default: document)",
      ).choices(["document", "token"]),
    )
    .addOption(
      new Option(
        "--procedure <name>",
        "how candidates are tested; paper is the published rule, which promises nothing (default: certified)",
      ).choices(["certified", "bonferroni", "by-exit", "crc", "paper"]),
    )
    .addOption(
      new Option(
        "--score <score>",
        "confidence score (default: the one that promises the lowest cost; paper: entropy)",
      ).choices(scoreNames),
    )
    .addOption(
      new Option("--strategy <name>", "the paper's way to choose (default: maxCoverage)").choices([
        "maxCoverage",
        "minCoverage",
        "midpoint",
        "platt",
      ]),
    )
    .addOption(new Option("--fill <how>", "keys and values of skipped blocks (default: lazy)").choices(fillNames))
    .addOption(
      new Option(
        "--costs <how>",
        "what decides between policies that keep the agreement: multiply-adds, or times measured on this " +
          "machine (default: counted)",
      ).choices(["counted", "measured"]),
    )
    .option("--documents <n>", "use at most this many documents", integer(1))
    .option(
      "--seed <n>",
      "splits the documents into those that candidates come from and those that test them (default: 0)",
      integer(0),
    )
    .option("--store <folder>", "keep what was recorded there, and go on from it")
    .option("--out <file>", "write policy and certificate here, for generate --policy")
    .option("--released <file>", "write the calibration file of the paper's released code here")
    .addHelpText(
      "after",
      examples(
        "early-exits calibrate my-model --heads heads --text held.txt --agreement .95 --out policy.json",
        "early-exits calibrate my-model --heads heads --text held.txt --claim selective --unit token --out policy.json",
        "early-exits calibrate my-model --heads heads --text held.txt --procedure paper --out policy.json",
      ),
    );

  command(
    "report",
    "What held-out text says about heads and scores: agreement by coverage, the scores side by side, the oracle",
    report,
    { dir: true, dtype: true },
  )
    .requiredOption("--heads <folder>", "heads made by train")
    .requiredOption("--text <file>", "text that the heads were not trained on")
    .option("--policy <file>", "judge this policy too")
    .addOption(new Option("--score <score>", "of the curves (default: the policy's, or margin)").choices(scoreNames))
    .option("--documents <n>", "use at most this many documents", integer(1))
    .option("--svg <file>", "write the agreement-coverage curves here")
    .addHelpText(
      "after",
      examples("early-exits report my-model --heads heads --text held.txt --policy policy.json --svg curves.svg"),
    );

  command(
    "eval",
    "Score a task as lm-evaluation-harness does, with exits off and by each policy: how much accuracy is kept",
    evaluate,
    { dir: true, dtype: true },
  )
    .requiredOption(
      "--task <file>",
      'a JSON object a line: {"query", "choices", "gold"}, {"ctx", "endings", "label"} or {"context_options", ' +
        '"continuation", "gold"}; {"context", "continuation"} or {"text"}; for perplexity {"text"}, or a .txt ' +
        "file of documents",
    )
    .addOption(new Option("--kind <kind>", "what the task asks").choices(taskKinds).makeOptionMandatory())
    .option("--heads <folder>", "heads made by train")
    .option("--policy <file...>", "policies made by calibrate, each evaluated beside exits off")
    .option("--limit <n>", "only the first n items", integer(1))
    .option(
      "--max-length <n>",
      "tokens that the model is given at most; longer contexts lose their beginning (default: the model's limit)",
      integer(1),
    )
    .option(
      "--no-special-tokens",
      "begin contexts without the special tokens that the tokenizer would add, as the harness does unless told " +
        "otherwise",
    )
    .option("--resamples <n>", "bootstrap resamples of the intervals (default: 1000)", integer(1))
    .option("--seed <n>", "of the bootstrap (default: 0)", integer(0))
    .addHelpText(
      "after",
      examples(
        "early-exits eval my-model --task arc_easy.jsonl --kind multiple-choice --limit 200",
        "early-exits eval my-model --task lambada.jsonl --kind lambada --heads heads --policy p99.json " +
          "p95.json p90.json",
        "early-exits eval my-model --task held.txt --kind perplexity --heads heads --policy policy.json --json",
      ),
    );

  command(
    "certificate",
    "verify FILE: recompute a certificate; with --model, --heads and --text, run the policy too",
    verify,
    { positional: ["action", "file"] },
  )
    .argument("<action>", "verify")
    .argument("<file>", "what calibrate --out wrote, or a certificate alone")
    .option("--model <folder>", "the model that it is for")
    .option("--heads <folder>", "the heads that it is for")
    .option("--text <file>", "the calibration text")
    .addHelpText(
      "after",
      examples(
        "early-exits certificate verify policy.json",
        "early-exits certificate verify policy.json --model my-model --heads heads --text held.txt",
      ),
    );

  const sampling = (of: Command): Command =>
    of
      .option("--temperature <t>", "0 is greedy (default: 0)", number(0, 100))
      .option("--top-k <k>", "only the k most likely tokens; 0 for all (default: 0)", integer(0))
      .option("--top-p <p>", "only the most likely tokens that make up this share (default: 1)", number(0, 1))
      .option(
        "--min-p <p>",
        "only tokens at least this many times as likely as the most likely (default: 0)",
        number(0, 1),
      )
      .option("--repetition-penalty <x>", "above 1 discourages tokens that occurred (default: 1)", number(0, 100));
  sampling(
    command("generate", "Continue a prompt; text on stdout, telemetry on stderr", generate, { dir: true, dtype: true }),
  )
    .requiredOption("--prompt <text>", "what to continue")
    .option("--heads <folder>", "heads made by train")
    .option("--policy <file>", "policy made by calibrate: exits are on; or what tune wrote, with --lossless")
    .option("--lossless", "exits only draft and the full model verifies: exactly its tokens; needs --policy")
    .option("--max-new-tokens <n>", "(default: 128, or what the context leaves)", integer(0))
    .option("--stop <text...>", "end before one of these strings")
    .option("--seed <n>", "(default: 0)", integer(0))
    .option("--no-echo", "do not print the prompt")
    .addHelpText(
      "after",
      examples(
        'early-exits generate my-model --prompt "Once upon a time"',
        'early-exits generate my-model --heads heads --policy policy.json --prompt "Once" --temperature .8 --seed 7',
      ),
    );

  sampling(
    command(
      "tune",
      "Choose thresholds and draft length of lossless decoding that take least time on this machine",
      tune,
      { dir: true, dtype: true },
    ),
  )
    .requiredOption("--heads <folder>", "heads made by train")
    .requiredOption("--text <file>", "text whose documents begin the prompts")
    .option("--prompts <n>", "(default: 16)", integer(1))
    .option("--prompt-tokens <n>", "tokens of a document that make a prompt (default: 24)", integer(1))
    .option("--max-new-tokens <n>", "tokens written after each (default: 100)", integer(2))
    .option("--seed <n>", "of sampling (default: 0)", integer(0))
    .option("--out <file>", "write the settings here, for generate --lossless --policy")
    .addHelpText(
      "after",
      examples(
        "early-exits tune my-model --heads heads --text held.txt --out drafting.json",
        'early-exits generate my-model --heads heads --policy drafting.json --lossless --prompt "Once"',
      ),
    );

  command(
    "check-lossless",
    "Compare lossless decoding with plain decoding, token by token and bit by bit",
    checkLossless,
    { dir: true, dtype: true },
  )
    .requiredOption("--heads <folder>", "heads made by train")
    .requiredOption("--text <file>", "text whose documents begin the prompts")
    .option("--policy <file>", "policy made by calibrate, or what tune wrote: its thresholds decide what is drafted")
    .option("--prompts <n>", "(default: 20)", integer(1))
    .option("--prompt-tokens <n>", "tokens of a document that make a prompt (default: 32)", integer(1))
    .option("--max-new-tokens <n>", "(default: 64)", integer(1))
    .option("--draft-limit <n>", "drafts per round at most (default: chosen online)", integer(0))
    .addHelpText(
      "after",
      examples(
        "early-exits check-lossless my-model --heads heads --text held.txt --prompts 50",
        "early-exits check-lossless my-model --heads heads --policy policy.json --text held.txt --dtype int8",
      ),
    );

  command("demo", "The whole story on the embedded model, in under two minutes", demo)
    .option("--model <folder>", "another model folder with a documents.json")
    .option("--seconds <s>", "how long to train the heads (default: 30)", number(0, 600))
    .option("--agreement <share>", "(default: 0.95)", number(0, 1, { open: true }))
    .option("--exits <n|list>", "how many exits, or their depths (default: 2)", exits)
    .option("--max-new-tokens <n>", "tokens per text (default: 64)", integer(2))
    .option("--runs <n>", "timed runs of each way, at least 5 (default: 7)", integer(5))
    .option("--seed <n>", "(default: 1)", integer(0))
    .addHelpText("after", examples("early-exits demo", "early-exits demo --seconds 10 --agreement .9 --exits 2,4"));
  return program;
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`;
}

function integer(min: number): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? NaN : Number(text);
    if (!Number.isSafeInteger(value) || value < min) {
      throw new InvalidArgumentError(`Expected an integer of at least ${min}.`);
    }
    return value;
  };
}

function number(min: number, max: number, { open = false } = {}): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? NaN : Number(text);
    const inside = open ? value > min && value < max : value >= min && value <= max;
    if (!inside) {
      throw new InvalidArgumentError(`Expected a number in ${open ? "(" : "["}${min}, ${max}${open ? ")" : "]"}.`);
    }
    return value;
  };
}

/** "3" is how many; "2,4,6" are depths, and so is "3,". */
function exits(text: string): number | number[] {
  const parts = text
    .split(",")
    .filter((part) => part !== "")
    .map(integer(1));
  if (parts.length === 0) throw new InvalidArgumentError("Expected a number of exits, or depths such as 2,4,6.");
  return text.includes(",") ? parts : parts[0]!;
}
