// Compiled and linked, but not run, to show that the CUDA toolkit is complete.
#include <cublas_v2.h>
#include <cuda_runtime.h>

__global__ void twice(float *values) { values[threadIdx.x] *= 2; }

int main() {
  float *values;
  cublasHandle_t handle;
  cudaMalloc(&values, 32 * sizeof(float));
  twice<<<1, 32>>>(values);
  return cublasCreate(&handle) != CUBLAS_STATUS_SUCCESS || cudaDeviceSynchronize() != cudaSuccess;
}
