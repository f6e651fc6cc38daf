"""BLEU by document, of 0..100, as truthfulqa_gen has it."""

import sacrebleu


def process_results(doc, results):
    reference = f"#### {doc['answer']}"
    return {"bleu": sacrebleu.sentence_bleu(results[0], [reference], tokenize="char").score}
