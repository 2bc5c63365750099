!> Adam (Kingma, Ba, arXiv:1412.6980, algorithm 1): steps scaled by running moments of the gradient; with decay of the
!> weights apart from these (AdamW: Loshchilov, Hutter, arXiv:1711.05101, algorithm 2).
module tf_adam
   use tf_kinds, only : wp
   implicit none
   private
   public :: adam_step

contains

   !> m ← b1 m + (1−b1) g,  v ← b2 v + (1−b2) g²,  w ← (1 − mu decay) w − mu m̂/(√v̂ + eps) with the
   !> bias-corrected m̂ = m/(1−b1ᵗ), v̂ = v/(1−b2ᵗ)
   pure subroutine adam_step(rates, step, gradient, weights, mean, mean_square)
      !> mu, b1, b2, eps, decay: step size; decay of the first and of the second moment; guard against division by zero;
      !> decay of the weights
      real(wp), intent(in) :: rates(5)
      !> t, number of this step, from 1
      integer, intent(in) :: step
      !> (n_weights) all four
      real(wp), intent(in) :: gradient(:)
      real(wp), intent(inout) :: weights(:)
      real(wp), intent(inout) :: mean(:), mean_square(:)
      real(wp) :: mu, b1, b2, eps, keep, correct_mean, correct_square
      integer :: i

      mu = rates(1)
      b1 = rates(2)
      b2 = rates(3)
      eps = rates(4)
      keep = 1.0_wp - mu*rates(5)
      correct_mean = 1.0_wp/(1.0_wp - b1**step)
      correct_square = 1.0_wp/(1.0_wp - b2**step)
      do i = 1, size(weights)
         mean(i) = b1*mean(i) + (1.0_wp - b1)*gradient(i)
         mean_square(i) = b2*mean_square(i) + (1.0_wp - b2)*gradient(i)**2
         weights(i) = keep*weights(i) - mu*(mean(i)*correct_mean)/(sqrt(mean_square(i)*correct_square) + eps)
      end do
   end subroutine adam_step

end module tf_adam
