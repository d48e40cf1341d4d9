# Attend for NVIDIA GPUs: docker build -f launch/gpu.Dockerfile -t attend:gpu . (jax's wheels bring CUDA and cuDNN)
FROM python:3.12-slim
WORKDIR /attend
COPY locks/py312.txt locks/
RUN pip install --no-cache-dir -r locks/py312.txt "jax[cuda13]==$(sed -n 's/^jax==//p' locks/py312.txt)"
COPY . .
# For workdirs and data in buckets: docker build --build-arg=EXTRAS=gcs or s3 or gcs,s3
ARG EXTRAS=""
RUN [ -z "$EXTRAS" ] || pip install --no-cache-dir -e ".[$EXTRAS]"
CMD ["python", "train.py", "--help"]
