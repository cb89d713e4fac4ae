/**
 * The first minutes of a stranger in a short form: the packed tarball and a small GGUF file of a chat model with random
 * weights, whose exits cannot pay. The long form is scripts/first-minutes.ts on a real model.
 */
import { writeFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { firstMinutes, shortfalls } from "../../scripts/first-minutes.js";
import { text, VALUE } from "../support/gguf/bytes.js";
import { ggufModel } from "../support/gguf/model.js";
import { scratch } from "../support/scratch.js";

const template =
  "{% for message in messages %}<|im_start|>{{ message.role }} {{ message.content }}<|endoftext|>{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}";

const folder = scratch();

it("six commands lead from nothing to a server, and each says what comes next", async () => {
  const { files, name } = await ggufModel({
    config: { tie_word_embeddings: true, max_position_embeddings: 256 },
    type: "Q8_0",
    pairs: { "tokenizer.chat_template": [VALUE.string, text(template)] },
  });
  const model = folder.path("small.gguf");
  await writeFile(model, files[name]!);
  const journey = await firstMinutes(model, {
    train: ["--self", "24", "--self-tokens", "12", "--steps", "4", "--batch", "2", "--depths", "1,2"],
    calibrate: ["--self", "40", "--delta", "0.2"],
    agreement: 0.3,
  });
  expect(journey.steps.length).toBe(6);
  expect(shortfalls(journey).filter((sentence) => !sentence.startsWith("neither"))).toEqual([]);
  expect(journey.verdict).toMatch(/^verdict: (certified|not certified)/);
  expect(typeof journey.served).toBe("string");
});
