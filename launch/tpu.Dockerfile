# Attend for TPUs: docker build -f launch/tpu.Dockerfile -t attend:tpu .
FROM python:3.12-slim
WORKDIR /attend
COPY locks/py312.txt locks/
RUN pip install --no-cache-dir -r locks/py312.txt "jax[tpu]==$(sed -n 's/^jax==//p' locks/py312.txt)"
COPY . .
CMD ["python", "train.py", "--help"]
