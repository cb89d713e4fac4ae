/** Questions that nothing was trained or certified on. */
export const questions: readonly string[] = [
  "Why is the sky blue during the day and red in the evening?",
  "Write a short letter to a friend who has just moved to another city.",
  "What should I pack for a weekend in the mountains?",
  "Explain to a child how bread is made.",
  "Name three ways to save water at home, and say why each of them works.",
  "Tell a short story about a lighthouse keeper and a storm.",
  "What is the difference between a lake and a sea?",
  "Give me a simple plan for learning to play the guitar.",
];
