# Attend for TPUs: docker build -f launch/tpu.Dockerfile -t attend:tpu .
FROM python:3.12-slim
WORKDIR /attend
COPY locks/py312.txt locks/
RUN pip install --no-cache-dir -r locks/py312.txt "jax[tpu]==$(sed -n 's/^jax==//p' locks/py312.txt)"
COPY . .
# For workdirs and data in buckets: docker build --build-arg=EXTRAS=gcs or s3 or gcs,s3
ARG EXTRAS=""
RUN [ -z "$EXTRAS" ] || pip install --no-cache-dir -e ".[$EXTRAS]"
CMD ["python", "train.py", "--help"]
