# Attend for NVIDIA GPUs: docker build -f launch/gpu.Dockerfile -t attend:gpu . (jax's wheels bring CUDA and cuDNN)
FROM python:3.12-slim
WORKDIR /attend
COPY locks/py312.txt locks/
RUN pip install --no-cache-dir -r locks/py312.txt "jax[cuda13]==$(sed -n 's/^jax==//p' locks/py312.txt)"
COPY . .
CMD ["python", "train.py", "--help"]
