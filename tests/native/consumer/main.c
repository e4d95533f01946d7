/* The example at the top of trml_rt.h, with the bundle from the command line. */
#include <stdio.h>
#include <trml_rt/trml_rt.h>

int main(int count, char** arguments) {
  trml_rt_options options = {sizeof options};
  trml_rt_sample sample = {sizeof sample};
  trml_rt* rt = NULL;
  trml_rt_result* result = NULL;
  if (count != 2 || trml_rt_abi_version() != TRML_RT_ABI_VERSION) return 2;
  options.bundle = arguments[1];
  sample.text = "what a day";
  sample.text_length = TRML_RT_TERMINATED;
  if (trml_rt_open(&options, &rt) || trml_rt_infer(rt, &sample, 0, &result)) {
    fprintf(stderr, "%s\n", trml_rt_last_error());
    trml_rt_close(rt);
    return 1;
  }
  printf("%s %+.3f\n", trml_rt_result_label(result), trml_rt_result_score(result));
  puts(trml_rt_result_json(result));
  trml_rt_result_free(result);
  trml_rt_close(rt);
  return 0;
}
