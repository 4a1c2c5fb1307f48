/* Runs the model on one sample and compares with what ONNX Runtime gave for it. */
#include <stdio.h>

#include "model.h"
#include "sample.h"

int main(void)
{
    int apart = 0;
    for (int i = 0; i < MODEL_INPUT_COUNT; i++) {
        model_input()[i] = sample_input[i];
    }
    model_run();
    for (int i = 0; i < MODEL_OUTPUT_COUNT; i++) {
        double found = MODEL_OUTPUT_SCALE * model_output(i);
        double off = found > sample_output[i] ? found - sample_output[i] : sample_output[i] - found;
        printf("%4d  %12.6f  expected %12.6f\n", i, found, (double)sample_output[i]);
        apart += off > SAMPLE_QUANTUM;
    }
    if (apart) {
        printf("%d outputs differ by more than a quantum\n", apart);
        return 1;
    }
    printf("as expected\n");
    return 0;
}
