/* Answers samples from standard input on standard output, one after another: for verification. */
#include <stdio.h>

#include "model.h"

int main(void)
{
    while (fread(model_input(), 1, MODEL_INPUT_COUNT, stdin) == MODEL_INPUT_COUNT) {
        model_run();
        for (int32_t i = 0; i < MODEL_OUTPUT_COUNT; i++) {
            int32_t value = model_output(i);
            fwrite(&value, sizeof value, 1, stdout);
        }
        fflush(stdout);
    }
    return 0;
}
